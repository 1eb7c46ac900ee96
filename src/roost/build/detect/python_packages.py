"""Which Python packages a project asks for, and by which tool: real parsing of every format. Pure."""

from __future__ import annotations

import ast
import configparser
import json
import posixpath
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from roost.build.detect.tree import SourceTree

_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_WHEEL_OR_REPOSITORY = re.compile(r"/([A-Za-z0-9._-]+?)(?:\.git)?(?:@[^/]*)?$")
_LOCKS = (("uv", "uv.lock"), ("poetry", "poetry.lock"), ("pdm", "pdm.lock"))
MISSPELT = (
    "requirement.txt", "Requirements.txt", "requirements.text", "requirments.txt", "requirements.txt.txt",
    "requriements.txt", "requirememts.txt", "requirements",
)  # fmt: skip


@dataclass(slots=True)
class PythonPackages:
    """What a project depends on. `names` are canonical (PEP 503) package names."""

    tool: str = ""  # uv | poetry | pdm | pipenv | requirements | pyproject | setup | ""
    files: tuple[str, ...] = ()  # the files that decide what is installed
    names: set[str] = field(default_factory=set)
    extras: dict[str, frozenset[str]] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)  # name -> the file that names it
    needs_source: bool = False  # a requirement is a path in the project: it can't be installed beforehand
    requires_python: str = ""
    installable: bool = False  # the project itself is a package with a build system
    scripts: dict[str, str] = field(default_factory=dict)  # [project.scripts]
    broken: tuple[str, str] | None = None  # a file that can't be read, and why

    def add(self, requirement: str, file: str) -> None:
        """Take one PEP 508 requirement; what can't be read is skipped (the installer will say)."""
        try:
            parsed = Requirement(requirement)
        except InvalidRequirement:
            return
        self.add_name(parsed.name, file, parsed.extras)

    def add_name(self, name: str, file: str, extras: Iterable[str] = ()) -> None:
        """Take a package by name."""
        canonical = canonicalize_name(name)
        self.names.add(canonical)
        self.source.setdefault(canonical, file)
        self.extras[canonical] = self.extras.get(canonical, frozenset()) | frozenset(extras)


def python_packages(tree: SourceTree) -> PythonPackages:
    """Read every dependency file at the top of the tree and choose the tool that installs them.

    A lock file is the most exact statement, so it comes first; then requirements.txt, pyproject.toml,
    Pipfile and setup.py, each if it names anything.
    """
    packages = PythonPackages()
    project = _read_pyproject(tree, packages)
    requirement_files = _read_requirements(tree, packages)
    pipfile = _read_pipfile(tree, packages)
    setup = _read_setup(tree, packages)
    lock = next(((tool, name) for tool, name in _LOCKS if name in tree.paths and project is not None), None)
    if lock:
        packages.tool, packages.files = lock[0], ("pyproject.toml", lock[1])
    elif pipfile and "Pipfile.lock" in tree.paths:
        packages.tool, packages.files = "pipenv", ("Pipfile", "Pipfile.lock")
    elif requirement_files:
        packages.tool, packages.files = "requirements", requirement_files
    elif project is not None and _names_packages(project):
        packages.tool = "pyproject" if _table(project, "project") else "poetry"
        packages.files = ("pyproject.toml",)
    elif pipfile:
        packages.tool, packages.files = "pipenv", ("Pipfile",)
    elif setup:
        packages.tool, packages.files, packages.needs_source = "setup", setup, True
    if lock or packages.tool != "requirements":
        packages.needs_source = packages.tool in ("setup",) or "dependencies" in _table(project, "project").get(
            "dynamic", []
        )
    return packages


def _table(data: Mapping[str, Any] | None, *keys: str) -> Mapping[str, Any]:
    """Return a nested table; whatever is missing or of another type is empty."""
    value: Any = data or {}
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _read_toml(tree: SourceTree, path: str, packages: PythonPackages) -> Mapping[str, Any] | None:
    text = tree.read(path)
    if text is None:
        return None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        packages.broken = (path, str(error))
        return None


def _read_pyproject(tree: SourceTree, packages: PythonPackages) -> Mapping[str, Any] | None:
    data = _read_toml(tree, "pyproject.toml", packages)
    if data is None:
        return None
    file = "pyproject.toml"
    project, poetry = _table(data, "project"), _table(data, "tool", "poetry")
    for requirement in _strings(project.get("dependencies")):
        packages.add(requirement, file)
    for group in _table(poetry, "dependencies"), _table(poetry, "group", "main", "dependencies"):
        for name, value in group.items():
            if name.lower() == "python":
                packages.requires_python = value if isinstance(value, str) and value[:1] in "<>=!" else ""
            elif not (isinstance(value, Mapping) and value.get("optional")):
                extras = _strings(value.get("extras")) if isinstance(value, Mapping) else []
                packages.add_name(name, file, extras)
    if isinstance(project.get("requires-python"), str):
        packages.requires_python = project["requires-python"]
    packages.scripts = {
        str(name): value
        for name, value in (*_table(project, "scripts").items(), *_table(poetry, "scripts").items())
        if isinstance(value, str)
    }
    packages.installable = bool(_table(data, "build-system")) and poetry.get("package-mode", True) is not False
    return data


def _names_packages(project: Mapping[str, Any]) -> bool:
    """True when pyproject.toml describes a project, rather than settings of tools only."""
    return bool(_table(project, "project") or _table(project, "tool", "poetry", "dependencies"))


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _read_requirements(tree: SourceTree, packages: PythonPackages) -> tuple[str, ...]:
    """Read requirements.txt with what it includes; else the places people put it otherwise."""
    places = [
        "requirements.txt",
        *(f"requirements/{name}.txt" for name in ("production", "prod", "base", "requirements")),
        "requirements.in",
        *MISSPELT,
    ]
    start = next((path for path in places if path in tree.paths), None)
    if start is None:
        return ()
    seen: dict[str, None] = {}
    queue = [start]
    while queue and len(seen) < 50:
        path = queue.pop(0)
        text = tree.read(path)
        if path in seen or text is None:
            continue
        seen[path] = None
        for line in requirement_lines(text):
            queue += _read_requirement_line(line, path, packages)
    return tuple(seen)


def requirement_lines(text: str) -> list[str]:
    """Return a requirements file's logical lines: comments gone, continued lines joined."""
    joined = re.sub(r"\\\r?\n", " ", text.lstrip("\ufeff"))
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _read_requirement_line(line: str, path: str, packages: PythonPackages) -> list[str]:
    """Take one line; returns the files it includes."""
    option = re.match(r"(-r|--requirement|-c|--constraint|-e|--editable)(?:\s+|=|(?=\S))(.+)", line)
    if option and option[1] in ("-r", "--requirement", "-c", "--constraint"):
        other = posixpath.normpath(posixpath.join(posixpath.dirname(path), option[2].strip()))
        return [other] if option[1] in ("-r", "--requirement") else []
    if line.startswith("-") and not option:
        return []
    value = option[2].strip() if option else re.split(r"\s--", line)[0].strip()
    if egg := _EGG.search(value):
        packages.add_name(egg[1], path)
    elif "://" in value and "@" not in value.split("://", 1)[0]:
        if named := _WHEEL_OR_REPOSITORY.search(value.split("#")[0]):
            packages.add_name(named[1].split("-")[0] if value.endswith(".whl") else named[1], path)
    elif re.match(r"[./]", value) or option:
        packages.needs_source = True
    else:
        packages.add(value, path)
    return []


def _read_pipfile(tree: SourceTree, packages: PythonPackages) -> bool:
    data = _read_toml(tree, "Pipfile", packages)
    for name, value in _table(data, "packages").items():
        packages.add_name(name, "Pipfile", _strings(value.get("extras")) if isinstance(value, Mapping) else ())
    lock = tree.read("Pipfile.lock")
    if lock is not None:
        try:
            default = _table(json.loads(lock), "default")
        except (ValueError, RecursionError):
            default = {}
        for name in default:
            packages.add_name(name, "Pipfile.lock")
    return data is not None


def _read_setup(tree: SourceTree, packages: PythonPackages) -> tuple[str, ...]:
    """Read install_requires of setup.cfg and of a literal call of setup() in setup.py."""
    files = tuple(path for path in ("setup.py", "setup.cfg") if path in tree.paths)
    if text := tree.read("setup.cfg"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text)
            for line in requirement_lines(parser.get("options", "install_requires", fallback="")):
                packages.add(line, "setup.cfg")
        except configparser.Error as error:
            packages.broken = ("setup.cfg", str(error).splitlines()[0])
    if text := tree.read("setup.py"):
        for requirement in _setup_call_requirements(text):
            packages.add(requirement, "setup.py")
        packages.installable = True
    return files if "setup.py" in files else ()


def _setup_call_requirements(text: str) -> list[str]:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "install_requires" and isinstance(node.value, ast.List):
            return [e.value for e in node.value.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return []
