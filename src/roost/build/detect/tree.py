"""A source directory as detection sees it: the paths of its files, and their text. Read only.

Nothing here follows a symbolic link or runs anything. The listing is bounded, so a huge directory
costs a bounded time; what lies beyond the bound is not seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

MAX_READ = 1 << 20
MAX_FILES = 50_000
SKIPPED = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache", ".hg", ".svn"})


class SourceTree(Protocol):
    """What detection may know of a source directory."""

    @property
    def paths(self) -> frozenset[str]:
        """POSIX paths of the regular files, relative to the directory."""

    def read(self, path: str) -> str | None:
        """Return up to 1 MiB of a file's text, invalid UTF-8 replaced; None when there is no such file."""


class DictTree:
    """A source tree held in memory: path -> text."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = dict(files)

    @property
    def paths(self) -> frozenset[str]:
        """See SourceTree."""
        return frozenset(self._files)

    def read(self, path: str) -> str | None:
        """See SourceTree."""
        text = self._files.get(path)
        return None if text is None else text[:MAX_READ]


class DirectoryTree:
    """A source tree on disk. The listing is taken once, at first use."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def paths(self) -> frozenset[str]:
        """See SourceTree."""
        found: set[str] = set()
        for path in _walk(self._root):
            found.add(path)
            if len(found) >= MAX_FILES:
                break
        return frozenset(found)

    def read(self, path: str) -> str | None:
        """See SourceTree. A path that was not listed is not read, whatever it names."""
        if path not in self.paths:
            return None
        try:
            descriptor = self._open(PurePosixPath(path))
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read(MAX_READ).decode("utf-8", "replace")

    def _open(self, path: PurePosixPath) -> int:
        """Open below the root, refusing a symbolic link at every step."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(self._root, flags | os.O_DIRECTORY)
        try:
            for part in path.parts[:-1]:
                below = os.open(part, flags | os.O_DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = below
            return os.open(path.name, flags | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)


def _walk(root: Path) -> Iterator[str]:
    """Yield regular files, the upper levels first, in a stable order."""
    level = [""]
    while level:
        below = []
        for directory in level:
            try:
                entries = sorted(os.scandir(root / directory), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if not path.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in SKIPPED:
                        below.append(path)
                elif entry.is_file(follow_symlinks=False):
                    yield path
        level = below


def top_level(tree: SourceTree) -> frozenset[str]:
    """Return the names of the files directly in the directory."""
    return frozenset(path for path in tree.paths if "/" not in path)
