"""Finds the application object in Python source by parsing it: which module makes it, under what name.

Nothing is imported or run. A module is named by the import root it lies below: the first directory,
going up, that is not itself a package.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from roost.build.detect.tree import SourceTree

# module.Class -> (framework, interface); a call of it makes an application object
CONSTRUCTORS = {
    "flask.Flask": ("flask", "wsgi"), "quart.Quart": ("quart", "asgi"), "fastapi.FastAPI": ("fastapi", "asgi"),
    "starlette.applications.Starlette": ("starlette", "asgi"), "litestar.Litestar": ("litestar", "asgi"),
    "fasthtml.common.fast_app": ("fasthtml", "asgi"), "fasthtml.common.FastHTML": ("fasthtml", "asgi"),
    "fasthtml.fast_app": ("fasthtml", "asgi"), "fasthtml.FastHTML": ("fasthtml", "asgi"),
    "bottle.Bottle": ("bottle", "wsgi"), "bottle.default_app": ("bottle", "wsgi"), "falcon.App": ("falcon", "wsgi"),
    "falcon.asgi.App": ("falcon", "asgi"), "sanic.Sanic": ("sanic", "sanic"),
    "connexion.FlaskApp": ("connexion", "wsgi"), "connexion.AsyncApp": ("connexion", "asgi"),
    "apiflask.APIFlask": ("apiflask", "wsgi"), "flask_openapi3.OpenAPI": ("flask", "wsgi"),
    "blacksheep.Application": ("blacksheep", "asgi"), "robyn.Robyn": ("robyn", "script"),
    "asgiref.wsgi.WsgiToAsgi": ("", "asgi"), "socketio.ASGIApp": ("", "asgi"), "socketio.WSGIApp": ("", "wsgi"),
    "django.core.wsgi.get_wsgi_application": ("django", "wsgi"),
    "django.core.asgi.get_asgi_application": ("django", "asgi"),
}  # fmt: skip
_STARS = {"fasthtml.common": ("fast_app", "FastHTML"), "flask": ("Flask",), "fastapi": ("FastAPI",)}
_FILE_RANK = ("wsgi", "asgi", "app", "main", "application", "server", "run", "api", "web", "index", "__init__")
_NAME_RANK = ("application", "app", "api", "server")
_SKIPPED = {"tests", "test", "docs", "doc", "examples", "migrations", "scripts", "node_modules", "alembic", "bench"}
_MAX_FILES, _MAX_DEPTH = 400, 5


@dataclass(frozen=True, slots=True)
class AppObject:
    """An application object that a server can import: `module:name`, below `root`."""

    path: str
    root: str  # directory that must be on the import path; "" is the source directory
    module: str
    name: str
    framework: str
    interface: str  # wsgi | asgi | sanic | script
    factory: bool = False  # `name` is a function without required arguments that returns the object

    @property
    def target(self) -> str:
        """Return `module:name`."""
        return f"{self.module}:{self.name}"


def parse(text: str) -> ast.Module | None:
    """Parse Python source; None when it can't be parsed (an older or newer Python, or not Python)."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python_files(tree: SourceTree) -> list[str]:
    """Return the source files that may hold an application, the nearest to the top first."""
    found = []
    for path in tree.paths:
        parts = path.split("/")
        if path.endswith(".py") and len(parts) <= _MAX_DEPTH and not _SKIPPED.intersection(parts[:-1]):
            name = parts[-1]
            if not name.startswith("test_") and name not in ("setup.py", "conftest.py", "noxfile.py"):
                found.append(path)
    return sorted(found, key=lambda path: (path.count("/"), path))[:_MAX_FILES]


def module_of(tree: SourceTree, path: str) -> tuple[str, str]:
    """Return (import root, dotted module name) of a file."""
    directory, file = posixpath.split(path)
    parts = [] if file == "__init__.py" else [file.removesuffix(".py")]
    while directory and f"{directory}/__init__.py" in tree.paths:
        directory, package = posixpath.split(directory)
        parts.insert(0, package)
    if directory and not directory.endswith("src") and _imported_from_top(tree, path, directory):
        parts = directory.split("/") + parts
        directory = ""
    return directory, ".".join(parts)


def _imported_from_top(tree: SourceTree, path: str, directory: str) -> bool:
    """Tell whether a directory without __init__.py is used as a package from the top (a namespace package).

    It is unless the file imports its neighbours by their bare names.
    """
    module = parse(tree.read(path) or "")
    neighbours = {
        other[len(directory) + 1 :].split("/")[0].removesuffix(".py")
        for other in tree.paths
        if other.startswith(f"{directory}/") and other.endswith(".py")
    }
    names = {name.split(".")[0] for name in _imported_modules(module)} if module else set()
    return directory.split("/")[0] in names or not names & neighbours


def _imported_modules(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def app_objects(tree: SourceTree) -> list[AppObject]:
    """Return every application object found, the one to serve first."""
    found: list[AppObject] = []
    for path in python_files(tree):
        text = tree.read(path)
        if text and (module := parse(text)):
            root, dotted = module_of(tree, path)
            if dotted:
                found += _objects_in(module, path, root, dotted)
    found += list(_reexported(tree, found))
    return sorted(found, key=_rank)


def _rank(found: AppObject) -> tuple[int, int, int, int, str]:
    file = found.path.rsplit("/", 1)[-1].removesuffix(".py")
    return (
        int(found.factory),
        _FILE_RANK.index(file) if file in _FILE_RANK else len(_FILE_RANK),
        _NAME_RANK.index(found.name) if found.name in _NAME_RANK else len(_NAME_RANK),
        found.path.count("/"),
        found.path,
    )


def _objects_in(module: ast.Module, path: str, root: str, dotted: str) -> Iterator[AppObject]:
    imports = imported_names(module)
    for statement in _module_level(module.body):
        for name, call in _assigned_calls(statement):
            if made := _constructed(call, imports):
                yield AppObject(path, root, dotted, name, *made)
            elif (factory := _local_factory(module, call, imports)) is not None:
                yield AppObject(path, root, dotted, name, *factory)
        if server := _dash_server(statement):
            yield AppObject(path, root, dotted, server, "dash", "wsgi")
        if isinstance(statement, ast.FunctionDef) and not _required_arguments(statement):
            factory = _made_in(statement, imports)
            if factory is not None:
                yield AppObject(path, root, dotted, statement.name, *factory, factory=True)


def _module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run on import, those below `if` and `try` included, `__main__` excluded."""
    for statement in body:
        if isinstance(statement, ast.If):
            if "__main__" not in ast.dump(statement.test):
                yield from _module_level(statement.body + statement.orelse)
        elif isinstance(statement, ast.Try):
            yield from _module_level(statement.body + statement.orelse)
        else:
            yield statement


def _assigned_calls(statement: ast.stmt) -> Iterator[tuple[str, ast.Call]]:
    """Yield (name, call) of `name = call(...)`, `name: T = call(...)` and `name, other = call(...)`."""
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return
    if not isinstance(statement.value, ast.Call):
        return
    for target in targets:
        if isinstance(target, ast.Tuple) and target.elts:
            target = target.elts[0]
        if isinstance(target, ast.Name):
            yield target.id, statement.value


def _dash_server(statement: ast.stmt) -> str:
    """Return the name in `server = app.server`, by which Dash apps hand out their Flask object."""
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Attribute):
        target = statement.targets[0]
        if statement.value.attr == "server" and isinstance(target, ast.Name):
            return target.id
    return ""


def imported_names(module: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for: `F` -> `flask.Flask`."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    names |= {star: f"{origin}.{star}" for star in _STARS.get(origin, ())}
                else:
                    names[alias.asname or alias.name] = f"{origin}.{alias.name}"
    return names


def dotted_name(node: ast.expr) -> str:
    """Spell `a.b.c`; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted_name(node.value)):
        return f"{left}.{node.attr}"
    return ""


def _constructed(call: ast.Call, imports: dict[str, str]) -> tuple[str, str] | None:
    """Return (framework, interface) when the call makes an application object."""
    first, _, rest = dotted_name(call.func).partition(".")
    full = imports.get(first, "") + (f".{rest}" if rest else "")
    return CONSTRUCTORS.get(full)


def _made_in(function: ast.FunctionDef, imports: dict[str, str]) -> tuple[str, str] | None:
    """Return what a factory makes: a constructor is called in it, and something is returned."""
    returns = any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(function))
    for node in ast.walk(function):
        if returns and isinstance(node, ast.Call) and (made := _constructed(node, imports)):
            return made
    return None


def _local_factory(module: ast.Module, call: ast.Call, imports: dict[str, str]) -> tuple[str, str] | None:
    """Return what `app = create_app(...)` makes when create_app is a function of the same file."""
    name = dotted_name(call.func)
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            return _made_in(statement, imports)
    return None


def _required_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def _reexported(tree: SourceTree, known: list[AppObject]) -> Iterator[AppObject]:
    """Yield the names by which wsgi.py and its like import an object, or call a factory, of another module."""
    made = {f"{o.module}.{o.name}": o for o in known}
    for path in python_files(tree):
        if path.rsplit("/", 1)[-1] not in (
            "wsgi.py",
            "asgi.py",
            "main.py",
            "app.py",
            "run.py",
            "server.py",
            "manage.py",
        ):
            continue
        module = parse(tree.read(path) or "")
        if module is None:
            continue
        root, dotted = module_of(tree, path)
        package = dotted.rpartition(".")[0]
        imports = {name: _absolute(full, package) for name, full in imported_names(module).items()}
        for name, full in imports.items():
            if (origin := made.get(full)) and not origin.factory and "." not in origin.name:
                yield AppObject(path, root, dotted, name, origin.framework, origin.interface)
        for statement in _module_level(module.body):
            for name, call in _assigned_calls(statement):
                first, _, rest = dotted_name(call.func).partition(".")
                full = imports.get(first, "") + (f".{rest}" if rest else "")
                if (origin := made.get(full)) and origin.factory:
                    yield AppObject(path, root, dotted, name, origin.framework, origin.interface)


def _absolute(full: str, package: str) -> str:
    """Resolve a relative import's dots against the package of the importing module."""
    dots = len(full) - len(full.lstrip("."))
    if not dots:
        return full
    parts = package.split(".") if package else []
    base = parts[: len(parts) - (dots - 1)]
    return ".".join([*base, full.lstrip(".")])
