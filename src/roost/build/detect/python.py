"""Detects Python apps: what is installed, which object or script is served, and by which server. Pure.

The application object is found by parsing the source (`python_objects`), never assumed from a file's
name. A server is added when the project has none. A sleeping machine's clock goes on while its
processes stand still, so gunicorn's worker timeout, which would kill them at waking, is switched off.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Story, Strength
from roost.build.detect.django import DjangoProject, django_project
from roost.build.detect.needs import python_needs
from roost.build.detect.python_install import ENV, VENV, install_plan
from roost.build.detect.python_objects import AppObject, app_objects, imported_names, parse, python_files
from roost.build.detect.python_packages import MISSPELT, PythonPackages, python_packages
from roost.build.detect.python_script import find_script, literal_port
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput

_PACKAGE_OF = {"fasthtml": "python-fasthtml"}  # framework -> package on PyPI, where they differ
_NOTHING_TO_START = (
    "no application object and no script to start was found (looked for Flask, FastAPI and Django apps, main.py, "
    "app.py, server.py and the like): name the start command in a Procfile or in [processes] of roost.toml"
)
_SCRIPT_SERVERS = {  # package -> how its script is run; {file} is quoted
    "streamlit": "streamlit run {file} --server.port $PORT --server.address 0.0.0.0 --server.headless true",
    "chainlit": "chainlit run {file} --host 0.0.0.0 --port $PORT --headless",
    "gradio": "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python {file}",
}


@dataclass(slots=True)
class _Start:
    """How the app is started, and what that takes."""

    command: str
    framework: str
    strength: Strength
    extra: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()
    release: str = ""
    port: int = 8080
    generated_secrets: tuple[str, ...] = ()


def detect_python(tree: SourceTree, *, own_start: bool = False) -> Candidate | None:
    """Return the plan for a Python app, or None when nothing here is Python's.

    With `own_start` the owner wrote the start command (a Procfile, roost.toml), so no server is added.
    """
    packages = python_packages(tree)
    top_scripts = [path for path in python_files(tree) if "/" not in path]
    if not packages.tool and not top_scripts and not any(path.endswith("manage.py") for path in tree.paths):
        return None
    if packages.broken:
        path, why = packages.broken
        raise BadInput(
            f"{path} can't be read: {why}", hint="correct the file; the package installer would fail on it too"
        )
    story = Story()
    _tell_packages(packages, story)
    start = _start(tree, packages, story) or _Start("", "", Strength.MANIFEST)
    if not start.command and not packages.tool:
        return None
    dependencies, install = install_plan(tree, packages, () if own_start else start.extra, story)
    python_needs(packages, story)
    env = ENV | start.env
    if "gunicorn" in start.command and "gunicorn.conf.py" not in tree.paths:
        env["GUNICORN_CMD_ARGS"] = "--timeout=0"
    env["FORWARDED_ALLOW_IPS"] = "*"
    plan = BuildPlan(
        stack="python",
        framework=start.framework,
        evidence=tuple(story.evidence),
        base=bases.PYTHON,
        dependencies=dependencies,
        build_commands=(*install, *start.build),
        build_caches=("/root/.cache/uv",) if install else (),
        env=env,
        processes={"app": start.command} if start.command else {},
        port=start.port,
        release_command=start.release,
        needs=tuple(story.needs),
        notes=() if own_start and start.extra else tuple(story.notes),
        generated_secrets=start.generated_secrets,
        buildable=bool(start.command),
        obstacle="" if start.command else _NOTHING_TO_START,
    )
    return Candidate(start.strength, plan)


def _tell_packages(packages: PythonPackages, story: Story) -> None:
    if packages.files:
        story.found(f"{' and '.join(packages.files[:3])}: packages are installed by uv ({packages.tool})")
        if packages.files[0] in MISSPELT:
            story.tell(f"{packages.files[0]} was taken for requirements.txt: rename it")
    if packages.names & {"psycopg2", "mysqlclient", "uwsgi"}:
        compiled = sorted(packages.names & {"psycopg2", "mysqlclient", "uwsgi"})
        story.tell(
            f"{', '.join(compiled)} must be compiled and the base image has no compiler: "
            "use psycopg2-binary, pymysql or gunicorn, or write a Dockerfile"
        )


def _start(tree: SourceTree, packages: PythonPackages, story: Story) -> _Start | None:
    """Decide what is started: Django, a framework with its own runner, an application object, a script."""
    project = django_project(tree)
    if project:
        return _django_start(project, packages, story)
    for package, command in _SCRIPT_SERVERS.items():
        if package in packages.names and (script := _script_importing(tree, package)):
            story.found(f"{packages.source[package]} names {package}, {script} uses it")
            return _Start(command.format(file=_quoted(script)), package, Strength.SERVER)
    objects = [found for found in app_objects(tree) if found.framework != "django"]
    known = [o for o in objects if not o.framework or _PACKAGE_OF.get(o.framework, o.framework) in packages.names]
    for found in (known or objects)[:1]:
        return _object_start(found, packages, story)
    return _script_start(tree, packages, story)


def _script_importing(tree: SourceTree, package: str) -> str:
    """Return the script that imports a package, those with telling names first."""
    names = ("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py", "demo.py")
    importing = []
    for path in python_files(tree):
        module = parse(tree.read(path) or "") if path.count("/") <= 1 and "pages/" not in path else None
        if module and any(full.split(".")[0] == package for full in imported_names(module).values()):
            importing.append(path)
    rank = {name: index for index, name in enumerate(names)}
    importing.sort(key=lambda path: (rank.get(path.rsplit("/", 1)[-1], len(names)), path.count("/"), path))
    return importing[0] if importing else ""


def _object_start(found: AppObject, packages: PythonPackages, story: Story) -> _Start:
    framework = found.framework or "python"
    package = _PACKAGE_OF.get(framework, framework)
    extra: tuple[str, ...] = ()
    if package in packages.names:
        story.found(f"{packages.source[package]} names {package}")
    elif found.framework:
        extra = (package,)
        story.tell(f"{found.path} imports {framework} and no requirement names it: {package} was added; write it down")
    what = f"the function `{found.name}` makes" if found.factory else f"`{found.name}` is"
    story.found(f"{found.path}: {what} the {framework} application ({found.target})")
    command, server, added = _server(found, packages, framework)
    if added:
        story.tell(f"the project names no server: {server} was added")
    else:
        story.found(f"{server} serves it")
    env = {}
    if found.root or server not in ("gunicorn", "uvicorn"):
        env["PYTHONPATH"] = posixpath.join("/app", found.root)
        story.found(f"modules are imported from {found.root or 'the source directory'}")
    return _Start(command, framework, Strength.SERVER, extra + added, env)


def _server(found: AppObject, packages: PythonPackages, framework: str) -> tuple[str, str, tuple[str, ...]]:
    """Return (command, server, packages to add) for an application object."""
    names, target = packages.names, found.target
    called = f"'{target}()'" if found.factory else target
    factory = "--factory " if found.factory else ""
    if found.interface == "script":
        return f"python {_quoted(found.path)}", "python", ()
    if found.interface == "sanic":
        return f"sanic {factory}{target} --host 0.0.0.0 --port $PORT", "sanic", ()
    if found.interface == "wsgi":
        if "gunicorn" not in names and "waitress" in names:
            call = "--call " if found.factory else ""
            return f"waitress-serve --host=0.0.0.0 --port=$PORT {call}{target}", "waitress", ()
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {called}"
        return command, "gunicorn", () if "gunicorn" in names else ("gunicorn",)
    has_uvicorn = "uvicorn" in names or framework == "fasthtml" or "standard" in packages.extras.get("fastapi", ())
    if not has_uvicorn:
        if "hypercorn" in names:
            return f"hypercorn --bind 0.0.0.0:$PORT {called}", "hypercorn", ()
        if "granian" in names:
            return f"granian --interface asgi --host 0.0.0.0 --port $PORT {factory}{target}", "granian", ()
        if "daphne" in names and not found.factory:
            return f"daphne -b 0.0.0.0 -p $PORT {target}", "daphne", ()
    command = f"uvicorn --host 0.0.0.0 --port $PORT --timeout-keep-alive 75 {factory}{target}"
    return command, "uvicorn", () if has_uvicorn else ("uvicorn",)


def _django_start(project: DjangoProject, packages: PythonPackages, story: Story) -> _Start | None:
    names = packages.names
    if not project.wsgi and not project.asgi:
        return None
    extra: tuple[str, ...] = ()
    story.found(f"{project.manage}: a Django project with the settings {project.settings}")
    if "django" not in names:
        extra = ("django",)
        story.tell("no requirement names django: it was added; write it down")
    async_server = next((s for s in ("daphne", "uvicorn", "hypercorn") if s in names), "")
    if project.asgi and async_server and ("channels" in names or "gunicorn" not in names or not project.wsgi):
        commands = {
            "daphne": "daphne -b 0.0.0.0 -p $PORT {}",
            "uvicorn": "uvicorn --host 0.0.0.0 --port $PORT --timeout-keep-alive 75 {}",
            "hypercorn": "hypercorn --bind 0.0.0.0:$PORT {}",
        }
        command = commands[async_server].format(project.asgi)
        story.found(f"{async_server} serves {project.asgi}")
    else:
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {project.wsgi}"
        story.found(f"gunicorn serves {project.wsgi}")
        if "gunicorn" not in names:
            extra += ("gunicorn",)
            story.tell("the project names no server: gunicorn was added")
    build, release = _django_steps(project, story)
    env = {"DJANGO_SETTINGS_MODULE": project.settings, "PYTHONPATH": posixpath.join("/app", project.root).rstrip("/")}
    secret = tuple(name for name in project.required_env if "SECRET_KEY" in name)
    return _Start(command, "django", Strength.SERVER, extra, env, build, release, generated_secrets=secret)


def _django_steps(project: DjangoProject, story: Story) -> tuple[tuple[str, ...], str]:
    """Return (build commands, release command): static files, and migrations where they belong."""
    throwaway = {
        name: "sqlite:////tmp/build.sqlite3" if name == "DATABASE_URL" else "roost-build-only"
        for name in project.required_env
    }
    prefix = "env " + " ".join(f"{name}={value}" for name, value in throwaway.items()) + " " if throwaway else ""
    manage = f"python {_quoted(project.manage)}"
    build: list[str] = []
    if project.static_root:
        story.found("STATIC_ROOT is set: static files are collected at build")
        build.append(f"{prefix}{manage} collectstatic --noinput")
    release = ""
    if project.database in ("postgres", "mysql", "url"):
        story.need("mysql" if project.database == "mysql" else "postgres", "the settings name a database server")
        release = f"{manage} migrate --noinput"
    elif project.database == "sqlite":
        build.append(f"{prefix}{manage} migrate --noinput")
        story.tell(
            "the SQLite file is part of the image, and what the app writes is gone with its machine: "
            "attach Postgres to keep it"
        )
    for name in project.required_env:
        if "SECRET_KEY" in name:
            story.tell(f"the settings need {name}: the first deploy sets it to a random value, unless it is set")
        elif name != "DATABASE_URL":
            story.tell(f"the settings need {name}: roost secrets set {name}=...")
    hosts = project.literals.get("ALLOWED_HOSTS")
    if isinstance(hosts, list) and "*" not in hosts and (hosts or project.literals.get("DEBUG") is False):
        story.tell(f"ALLOWED_HOSTS is {hosts}: add the app's host name, or requests are answered with 400")
    if project.literals.get("DEBUG") is True:
        story.tell("DEBUG is on in the settings: switch it off before the public sees the app")
    return tuple(build), release


def _script_start(tree: SourceTree, packages: PythonPackages, story: Story) -> _Start | None:
    if packages.installable and len(packages.scripts) == 1:
        name, target = next(iter(packages.scripts.items()))
        if re.fullmatch(r"[A-Za-z0-9._-]+", name):
            story.found(f"pyproject.toml installs the program {name} ({target})")
            return _Start(f"{VENV}/bin/{name}", "", Strength.PROGRAM)
    script = find_script(tree)
    if not script:
        return None
    command = f"python -m {script.removesuffix('/__main__.py').replace('/', '.')}" if "/" in script else ""
    story.found(f"{script} is started as a script")
    start = _Start(command or f"python {_quoted(script)}", "", Strength.PROGRAM)
    if port := literal_port(tree.read(script) or ""):
        start.port = port
        story.tell(
            f"{script} listens on port {port}; read the environment variable PORT to have it follow the configuration"
        )
    return start


def _quoted(path: str) -> str:
    """Quote a path of the source tree for sh."""
    if re.fullmatch(r"[A-Za-z0-9_./@+-]+", path):
        return path
    return "'" + path.replace("'", "'\"'\"'") + "'"
