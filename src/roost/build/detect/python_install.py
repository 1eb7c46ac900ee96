"""The commands that put a Python project's dependencies into /opt/venv. Pure.

The environment lies outside the source directory, so that adding the source never covers it. `uv`
is the one installer; a lock of poetry, pdm or pipenv is turned into requirements by that tool first.
"""

from __future__ import annotations

import re
import shlex

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from roost.build.detect import bases
from roost.build.detect.candidate import Story
from roost.build.detect.python_packages import PythonPackages
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import Dependencies

VENV = "/opt/venv"
CACHES = ("/root/.cache/uv",)
_PYTHON = f"--python {VENV}/bin/python"
_POETRY = "uvx --from poetry --with poetry-plugin-export poetry"
_VERSION = re.compile(r"(?:python-|cpython-)?(\d+\.\d+(?:\.\d+)?)")
_DEBIAN = ".".join(map(str, bases.PYTHON_VERSION))

ENV = {
    "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "VIRTUAL_ENV": VENV,
    "PYTHONUNBUFFERED": "1",
    "UV_LINK_MODE": "copy",
    "UV_COMPILE_BYTECODE": "1",
    "UV_PYTHON_INSTALL_DIR": "/opt/python",
}


def venv_command(tree: SourceTree, packages: PythonPackages, story: Story) -> str:
    """Return the command that makes the environment with the Python version the project asks for.

    A version in requires-python must be had: uv fetches it when the base image's does not fit. A
    version pinned in a file is a wish: when it can't be fetched, the base image's is used.
    """
    demanded = _demanded(packages)
    if demanded:
        story.found(f"requires-python is {packages.requires_python}: uv brings a Python that fits")
        return f"uv venv --python {shlex.quote(demanded)} {VENV}"
    system = f"uv venv --python /usr/bin/python3 {VENV}"
    for path in (".python-version", "runtime.txt"):
        pin = _VERSION.fullmatch((tree.read(path) or "").strip().split("\n")[0].strip())
        if pin and ".".join(pin[1].split(".")[:2]) != _DEBIAN:
            story.found(f"{path} asks for Python {pin[1]}")
            story.tell(f"Python {pin[1]} is fetched while building; if it can't be, Python {_DEBIAN} is used")
            return f"uv venv --python {pin[1]} {VENV} || {system}"
    return system


def _demanded(packages: PythonPackages) -> str:
    """Return requires-python when the base image's Python does not fit it, else ""."""
    try:
        specifier = SpecifierSet(packages.requires_python)
    except InvalidSpecifier:
        return ""
    fits = any(specifier.contains(f"{_DEBIAN}.{patch}") for patch in (2, 0))
    return "" if fits else packages.requires_python


def install_plan(
    tree: SourceTree, packages: PythonPackages, extra: tuple[str, ...], story: Story
) -> tuple[Dependencies | None, tuple[str, ...]]:
    """Return (dependencies, build commands); `extra` are packages to add, such as a server.

    What needs the project's own source is installed after the source was added.
    """
    make = venv_command(tree, packages, story)
    install = _install_commands(packages)
    project = _project_command(packages)
    adding = (f"uv pip install {_PYTHON} {' '.join(map(shlex.quote, extra))}",) if extra else ()
    if packages.needs_source:
        return None, (make, *install, *project, *adding)
    files = tuple(path for path in packages.files if path in tree.paths)
    return Dependencies(files, (make, *install, *adding), CACHES), project


def _install_commands(packages: PythonPackages) -> tuple[str, ...]:
    requirements = "/opt/requirements.txt"
    frozen = f"uv pip install {_PYTHON} --no-deps -r {requirements}"
    match packages.tool:
        case "uv":
            return (f"UV_PROJECT_ENVIRONMENT={VENV} uv sync --frozen --no-dev --no-install-workspace {_PYTHON}",)
        case "poetry":
            lock = () if "poetry.lock" in packages.files else (f"{_POETRY} lock",)
            return (
                *lock,
                f"{_POETRY} export --only main --without-hashes -f requirements.txt -o {requirements}",
                frozen,
            )
        case "pdm":
            return (f"uvx pdm export --prod --no-hashes -f requirements -o {requirements}", frozen)
        case "pipenv":
            lock = () if "Pipfile.lock" in packages.files else ("uvx pipenv lock",)
            return (*lock, f"uvx pipenv requirements > {requirements}", frozen)
        case "requirements":
            return (f"uv pip install {_PYTHON} -r {shlex.quote(packages.files[0])}",)
        case "pyproject" if not packages.needs_source:
            return (f"uv pip install {_PYTHON} -r pyproject.toml",)
        case "pyproject" | "setup":
            return (f"uv pip install {_PYTHON} .",)
    return ()


def _project_command(packages: PythonPackages) -> tuple[str, ...]:
    """Return the command that installs the project itself, where it is a package."""
    if not packages.installable or (packages.needs_source and packages.tool in ("pyproject", "setup")):
        return ()
    if packages.tool in ("uv", "poetry", "pdm", "pyproject"):
        return (f"uv pip install {_PYTHON} --no-deps --editable .",)
    return ()
