"""Reads what an Envoy writes to its request log, each line once, and keeps the file small.

State: the file that is read and the place in it, the latter also on disk, so that a later roostd goes on there. Envoy
appends to `path`, which it opens anew each time and at least once a second. When the file is large or old it is
renamed; what is left of it is read, and it is removed once a new one is there, for then nothing is added to it. A kill
between handing on and `save` gives the last lines twice. With nobody to read, Envoy's own limit on the size of files
(`MAX_BYTES`) holds: it writes no more, serves on, and counts what it would have written. The directory is Envoy's, so
nothing that lies there is trusted: no link is followed, and only a regular file is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

MAX_BYTES = 32 << 20  # of one file; Envoy is started with this limit
ROTATE_BYTES = 4 << 20
ROTATE_AGE = 30.0  # seconds that what was read stays in the file at most
GIVE_UP_BYTES = MAX_BYTES // 2  # of the new file: what is left of the old one is passed over then
CHUNK = 32 << 10  # bytes read at once; a line has fewer


class LogTail:
    """One cell's log. All methods are for one thread."""

    def __init__(self, path: Path, position: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._old, self._position = path, path.with_suffix(".old"), position
        self._clock = clock
        self._descriptor = -1
        self._offset = 0
        self._name = ""  # of the open file, once its first line is whole
        self._is_old = False
        self._since = 0.0  # when the file was opened

    def has_backlog(self) -> bool:
        """Tell whether lines were written while nobody read."""
        return self._old.exists() or (self._path.exists() and self._path.stat().st_size > 0)

    def read(self) -> tuple[bytes, int]:
        """Return the next whole lines, b"" when there are none yet, and how many were passed over."""
        if self._descriptor < 0 and not self._open():
            return b"", 0
        ended = self._is_old and self._path.exists()  # looked at before reading: then nothing more can come
        data = os.pread(self._descriptor, CHUNK, self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        if not self._is_old:
            self._rotate()
        elif ended and (not whole or self._is_hopeless()):
            lost = self._rest()
            self.close()
            self._old.unlink(missing_ok=True)
            return whole, lost
        if not whole and len(data) == CHUNK:  # no line of Envoy's is so long
            self._offset += CHUNK
            return b"", 1
        return whole, 0

    def save(self) -> None:
        """Keep the place: all that was read has been handed on."""
        if self._descriptor < 0:
            return
        name = self._name or _name(self._descriptor)
        if self._offset:
            self._name = name
        text = f"{name} {self._offset}".ljust(60) + "\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(self._position, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, text.encode(), 0)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._name = -1, ""

    def _open(self) -> bool:
        for path in (self._old, self._path):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                seen = os.fstat(descriptor)
                if not stat.S_ISREG(seen.st_mode):
                    os.close(descriptor)
                    continue
                self._descriptor, self._is_old, self._since = descriptor, path == self._old, self._clock()
                name, offset = self._saved()
                self._offset = offset if name == _name(descriptor) and offset <= seen.st_size else 0
                return True
        return False

    def _saved(self) -> tuple[str, int]:
        try:
            name, offset = self._position.read_text().split()
            return name, int(offset)
        except (OSError, ValueError):
            return "", 0

    def _rotate(self) -> None:
        """Rename the file when it is large or old, or gone."""
        size = os.fstat(self._descriptor).st_size
        old = self._offset > 0 and self._clock() - self._since > ROTATE_AGE
        if size < ROTATE_BYTES and not old:
            return
        try:
            self._path.rename(self._old)
        except FileNotFoundError:  # somebody removed it
            self.close()
            return
        except OSError:
            return
        self._is_old = True

    def _is_hopeless(self) -> bool:
        try:
            return self._path.stat(follow_symlinks=False).st_size > GIVE_UP_BYTES
        except OSError:
            return False

    def _rest(self) -> int:
        """Return how many lines of the old file are not read, a torn one included."""
        lost, last = 0, b"\n"
        while more := os.pread(self._descriptor, 1 << 20, self._offset):
            lost, last = lost + more.count(b"\n"), more
            self._offset += len(more)
        return lost + (not last.endswith(b"\n"))


def _name(descriptor: int) -> str:
    """Return what tells a file from those before it: a digest of its first line. Inodes are used again."""
    line, end, _ = os.pread(descriptor, CHUNK, 0).partition(b"\n")
    return hashlib.blake2b(line + end, digest_size=16).hexdigest()
