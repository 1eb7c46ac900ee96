"""A source directory as a gzipped tar that is made while it is sent.

State: none. Invariants: nothing outside the directory gets in (a symbolic link is packed as a link, and
only when it points inside); the same tree gives the same bytes (sorted, no owners, no zip time). Reading
fails, rather than sending half a file, when a file changes while it is read.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from roost.cli.ignore import IGNORE_FILES, LOCAL_SECRETS, IgnoreRules
from roost.model.errors import BadInput, Conflict

MAX_FILES = 100_000
_CHUNK = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link to pack. `path` is POSIX and relative, `link` a link's target."""

    path: str
    mode: int
    size: int = 0
    mtime: int = 0
    link: str = ""
    directory: bool = False


@dataclass(slots=True)
class SourceTree:
    """What will be packed, in order, and what the user should know about what will not."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """Number of files, links included."""
        return sum(not entry.directory for entry in self.entries)

    @property
    def bytes(self) -> int:
        """Bytes in the files."""
        return sum(entry.size for entry in self.entries)


def scan(root: Path, *, ignorefile: str = "") -> SourceTree:
    """List a directory by the ignore rules, of `ignorefile` where one is named, a path below the directory.

    Raises BadInput if it is no directory, is empty or holds too much.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is not a directory", hint="name the directory of the app's source code")
    root = root.resolve()
    tree = SourceTree(root)
    _walk(tree, "", _rules(root, ignorefile))
    if not tree.files:
        raise BadInput(f"{root} has nothing to deploy", hint="all its files are ignored, or there are none")
    return tree


def _rules(root: Path, ignorefile: str) -> IgnoreRules:
    if ignorefile and not (root / ignorefile).is_file():
        raise BadInput(f"build.ignorefile: there is no {ignorefile[:200]!r} in {root}", hint="correct the path")
    for name in (ignorefile,) if ignorefile else IGNORE_FILES:
        path = root / name
        if path.is_file():
            return IgnoreRules(path.read_text("utf-8", "replace").splitlines(), file=name)
    return IgnoreRules()


def _walk(tree: SourceTree, inside: str, rules: IgnoreRules) -> None:
    try:
        found = sorted(os.scandir(tree.root / inside), key=lambda item: item.name)
    except PermissionError:
        raise BadInput(
            f"{tree.root / inside} can't be read", hint="ignore it in .roostignore, or mend its mode"
        ) from None
    for item in found:
        path = f"{inside}/{item.name}" if inside else item.name
        directory = item.is_dir(follow_symlinks=False)
        if rules.excludes(path, directory=directory):
            if path in LOCAL_SECRETS:
                tree.notes.append(f"{path} stays here: give its values to the app with `roost secrets import < {path}`")
            continue
        if directory and (Path(item.path) / "pyvenv.cfg").exists():
            continue  # a virtual environment under another name
        entry = _entry(tree, path, item)
        if entry is None:
            continue
        tree.entries.append(entry)
        if len(tree.entries) > MAX_FILES:
            raise BadInput(
                f"{tree.root} holds more than {MAX_FILES} files",
                hint="is it the right directory? .roostignore leaves things out",
            )
        if directory:
            _walk(tree, path, rules)


def _entry(tree: SourceTree, path: str, item: os.DirEntry[str]) -> Entry | None:
    status = item.stat(follow_symlinks=False)
    mtime = max(int(status.st_mtime), 0)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, 0o755, mtime=mtime, directory=True)
    if stat.S_ISREG(status.st_mode):
        return Entry(path, 0o755 if status.st_mode & 0o111 else 0o644, status.st_size, mtime)
    if stat.S_ISLNK(status.st_mode):
        target = str(Path(item.path).readlink())
        real = os.path.realpath(item.path)
        if stays_inside(path, target) and Path(real).is_relative_to(tree.root):
            return Entry(path, 0o777, mtime=mtime, link=target)
        tree.notes.append(f"{path} is left out: the link points outside of the directory, to {target}")
        return None
    tree.notes.append(f"{path} is left out: it is no file, directory or link")
    return None


def stays_inside(path: str, target: str) -> bool:
    """Tell whether a link at `path` with a relative `target` never leaves the tree on its way. Pure."""
    if not target or target.startswith("/"):
        return False
    depth = len(PurePosixPath(path).parts) - 1
    for part in target.split("/"):
        if part in ("", "."):
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def pack(tree: SourceTree, passed: Callable[[int], None] = lambda _count: None) -> Iterator[bytes]:
    """Yield the gzipped tar; raises Conflict when a file changes meanwhile.

    `passed` is told how many bytes more of the files are in what was taken.
    """
    gzip = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for entry in tree.entries:
        yield gzip.compress(_header(entry))
        if entry.size:
            for chunk in _contents(tree.root, entry):
                yield gzip.compress(chunk)
                passed(len(chunk))
            yield gzip.compress(b"\0" * (-entry.size % _BLOCK))
    yield gzip.compress(b"\0" * (2 * _BLOCK))
    yield gzip.flush()


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.size, info.mtime = entry.mode, entry.size, entry.mtime
    if entry.directory:
        info.type = tarfile.DIRTYPE
    elif entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _contents(root: Path, entry: Entry) -> Iterator[bytes]:
    changed = Conflict(f"{root / entry.path} changed while it was uploaded", hint="try again once it is at rest")
    try:
        handle = os.open(root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(
            f"{root / entry.path} can't be read: {error.strerror}", hint="mend its mode or ignore it"
        ) from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise changed
        left = entry.size
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise changed
            left -= len(chunk)
            yield chunk
        if file.read(1):
            raise changed
