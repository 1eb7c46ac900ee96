"""What a build step's result depends on, as a key: equal keys mean the step need not run again. Pure
but for `tree_digest` and `file_digests`, which read a source tree without following a link.

A key holds everything that decides the result (layers below, commands, files, environment) and no
secret: a key is seen in file names and logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from roost.model.build_plan import BuildPlan

_KEY_LENGTH = 32  # hex digits: 128 bits


def _key(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]


def dependencies_key(
    below: Iterable[str], plan: BuildPlan, files: Mapping[str, str], build_args: Mapping[str, str]
) -> str:
    """Return the key of the dependency layer: base, lock files and commands, never the rest of the source."""
    commands = plan.dependencies.commands if plan.dependencies else ()
    return _key("deps", list(below), list(commands), dict(files), plan.workdir, dict(plan.env), dict(build_args))


def source_key(tree: str, workdir: str) -> str:
    """Return the key of the layer that holds the source tree with digest `tree` below `workdir`."""
    return _key("src", tree, workdir)


def build_key(below: Iterable[str], plan: BuildPlan, build_args: Mapping[str, str]) -> str:
    """Return the key of the layer that the build commands make on the layers `below`."""
    return _key("build", list(below), list(plan.build_commands), plan.workdir, dict(plan.env), dict(build_args))


def safe_path(path: str) -> bool:
    """Return whether a relative path stays below where it starts."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path


def file_digests(tree: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return path -> digest of the named files and what is below named directories, if there and safe."""
    found: dict[str, str] = {}
    for path in filter(safe_path, paths):
        full = tree / path
        if full.is_dir() and not full.is_symlink():
            found |= {f"{path.rstrip('/')}/{below}": digest for below, digest in _walk(full)}
        elif os.path.lexists(full):
            found[path] = _one(full)
    return found


def tree_digest(tree: Path) -> str:
    """Return a digest of names, contents, link targets and executable bits below a directory."""
    digest = hashlib.sha256()
    for path, one in sorted(_walk(tree)):
        digest.update(f"{path}\0{one}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _walk(tree: Path) -> Iterable[tuple[str, str]]:
    for directory, folders, names in os.walk(tree):
        here = Path(directory)
        for name in (*names, *folders):
            path = here / name
            yield str(path.relative_to(tree)), _one(path)


def _one(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link {path.readlink()}"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{'x' if status.st_mode & 0o111 else '-'} {content}"
