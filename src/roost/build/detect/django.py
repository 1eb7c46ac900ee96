"""What a Django project's own files say about how it is served: manage.py, wsgi.py and the settings. Pure."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from roost.build.detect.python_objects import dotted_name, parse
from roost.build.detect.tree import SourceTree

_SERVER_ENGINES = {"postgresql": "postgres", "postgis": "postgres", "mysql": "mysql"}


@dataclass(slots=True)
class DjangoProject:
    """A Django project; `root` is the directory of manage.py, "" for the source directory."""

    manage: str
    root: str
    settings: str  # module that is served: wsgi.py's where it differs from manage.py's
    wsgi: str = ""  # module:object
    asgi: str = ""
    static_root: bool = False
    database: str = ""  # sqlite | postgres | mysql | url | ""
    required_env: list[str] = field(default_factory=list)  # variables the settings read without a default
    literals: dict[str, object] = field(default_factory=dict)  # DEBUG, ALLOWED_HOSTS, where they are literal


def django_project(tree: SourceTree) -> DjangoProject | None:
    """Find manage.py (at the top or one or two levels down) and read what it leads to."""
    candidates = sorted(
        (path for path in tree.paths if path.rsplit("/", 1)[-1] == "manage.py" and path.count("/") <= 2),
        key=lambda path: (path.count("/"), path),
    )
    for manage in candidates:
        settings = _settings_default(tree.read(manage) or "")
        if settings:
            return _read_project(tree, manage, settings)
    return None


def _read_project(tree: SourceTree, manage: str, settings: str) -> DjangoProject:
    root = manage.rpartition("/")[0]
    project = DjangoProject(manage, root, settings)
    package = settings.split(".")[0]
    below = f"{root}/" if root else ""
    for kind in ("wsgi", "asgi"):
        path = next((p for p in (f"{below}{package}/{kind}.py", f"{below}{kind}.py") if p in tree.paths), "")
        if not path:
            continue
        module = path[len(below) :].removesuffix(".py").replace("/", ".")
        setattr(project, kind, f"{module}:application")
        if kind == "wsgi" and (served := _settings_default(tree.read(path) or "")):
            project.settings = served
    _read_settings(tree, project, project.settings, below, depth=0)
    return project


def _settings_default(text: str) -> str:
    """Return the value of os.environ.setdefault("DJANGO_SETTINGS_MODULE", value), or of the assignment."""
    module = parse(text)
    if module is None:
        return ""
    for node in ast.walk(module):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call) and dotted_name(node.func).endswith("environ.setdefault"):
            values = node.args
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            values = [node.targets[0].slice, node.value]
        literals = [value.value for value in values if isinstance(value, ast.Constant)]
        if len(literals) == 2 and literals[0] == "DJANGO_SETTINGS_MODULE" and re.fullmatch(r"[\w.]+", str(literals[1])):
            return str(literals[1])
    return ""


def _read_settings(tree: SourceTree, project: DjangoProject, dotted: str, below: str, depth: int) -> None:
    """Read a settings module, the modules it takes everything from first."""
    base = below + dotted.replace(".", "/")
    path = next((p for p in (f"{base}.py", f"{base}/__init__.py") if p in tree.paths), "")
    module = parse(tree.read(path) or "") if path else None
    if module is None or depth > 4:
        return
    package = dotted if path.endswith("/__init__.py") else dotted.rpartition(".")[0]
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            _read_settings(tree, project, ".".join(filter(None, (parent, node.module))), below, depth + 1)
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            _read_setting(project, dotted_name(node.targets[0]), node.value)
    project.required_env += [name for name in required_variables(module) if name not in project.required_env]


def _read_setting(project: DjangoProject, name: str, value: ast.expr) -> None:
    literal = value.value if isinstance(value, ast.Constant) else None
    if name in ("WSGI_APPLICATION", "ASGI_APPLICATION") and isinstance(literal, str) and "." in literal:
        module, _, attribute = literal.rpartition(".")
        setattr(project, name[:4].lower(), f"{module}:{attribute}")
    elif name == "STATIC_ROOT":
        project.static_root = literal != ""
    elif name == "DATABASES":
        project.database = _database(value) or project.database
    elif name in ("DEBUG", "ALLOWED_HOSTS"):
        try:
            project.literals[name] = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            project.literals.pop(name, None)


def _database(value: ast.expr) -> str:
    """Tell which database DATABASES names; an address read from the environment is "url"."""
    text = " ".join(n.value for n in ast.walk(value) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    calls = {dotted_name(n.func) for n in ast.walk(value) if isinstance(n, ast.Call)}
    if any(call.startswith("dj_database_url") or call.endswith((".db", ".db_url")) for call in calls):
        return "url"
    for engine, database in _SERVER_ENGINES.items():
        if engine in text:
            return database
    return "sqlite" if "sqlite" in text else ""


def required_variables(module: ast.Module) -> list[str]:
    """Return the environment variables a module reads without a default, in order."""
    names: list[str] = []
    with_default = {
        id(value)
        for node in ast.walk(module)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
        for value in node.values[:-1]
    }
    for node in ast.walk(module):
        name: object = None
        if id(node) in with_default:
            continue
        if isinstance(node, ast.Subscript) and dotted_name(node.value) in ("os.environ", "environ"):
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
        elif isinstance(node, ast.Call) and len(node.args) == 1 and _reads_environment(node):
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if isinstance(name, str) and re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) and name not in names:
            names.append(name)
    return names


def _reads_environment(call: ast.Call) -> bool:
    """Tell env("X"), config("X"), os.getenv("X"), os.environ.get("X") and env.str("X") from other calls."""
    if any(keyword.arg == "default" for keyword in call.keywords):
        return False
    name = dotted_name(call.func)
    return name in ("env", "config", "os.getenv", "getenv", "os.environ.get", "environ.get") or name.startswith("env.")
