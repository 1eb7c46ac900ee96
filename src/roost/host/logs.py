"""A machine's log: conmon writes it, this reads it and keeps it from growing.

It owns one directory with one file, `output.log`, or one per container, `CONTAINER.container.log`, in the
CRI format: a line `2024-05-01T10:00:00.123456789+00:00 stdout F text`, with `P` instead of `F` when the text
goes on in the stream's next record. conmon opens the file for appending and never has to be told anything.

Bounding punches a hole: the blocks of the oldest part are given back to the file system and the file
keeps its length. So an offset is a byte position for ever, no line is lost to a reader, nothing is
copied and no file is swapped under conmon. Running it twice, or being killed in the middle, does no harm.

Invariants: a line's offset lies just behind it, so reading on from there gives the lines after it;
offsets grow along the log and over restarts of the machine. What the app wrote is never trusted: torn
and malformed records are passed over, lines are cut at 64 KiB, invalid UTF-8 is replaced.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from roost.host.contract import LogLine
from roost.host.log_records import Joiner, Record, parse_record
from roost.model.errors import HostFailure

_BLOCK = 1 << 16  # unit of reading and of punching; a multiple of every file system's block
_KEEP_SIZE_AND_PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_LINE_END = re.compile(rb"\n\S{20,40} std(?:out|err) F ")  # misses one at a block's edge: never too many
_OF_CONTAINER = ".container.log"
SETTLED = 1.0  # seconds after which an unfinished last line is shown as it is (a prompt, a last word)
_libc = ctypes.CDLL(None, use_errno=True)


class MachineLog:
    """The log below `directory`, or that of a container. Any number of readers may read while conmon writes."""

    def __init__(self, directory: Path, container: str = "") -> None:
        self._directory = directory
        self.path = directory / (f"{container}{_OF_CONTAINER}" if container else "output.log")

    def prepare(self) -> Path:
        """Make the directory and return the path for `conmon --log-path k8s-file:PATH`."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.path

    def read(
        self, machine_id: str, since: float = 0.0, offset: int = 0, limit: int = 1000, *, now: float | None = None
    ) -> list[LogLine]:
        """Return up to `limit` lines written at or after `since` (Unix time) from `offset` on.

        A negative offset means the last `limit` lines. An offset of a part that was given back means
        the oldest line there is. `now` is the clock for showing an unfinished last line.
        """
        if limit <= 0:
            return []
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostFailure(f"can't read the log {self.path}: {error.strerror}") from None
        try:
            size = os.fstat(descriptor).st_size
            start = _tail_start(descriptor, size, limit) if offset < 0 else min(offset, size)
            joiner = Joiner(machine_id)
            if offset > 0:
                _replay(descriptor, start, joiner)
            lines = _read_lines(descriptor, start, size, joiner, since, None if offset < 0 else limit)
            if len(lines) < limit or offset < 0:
                before = (now if now is not None else time.time()) - SETTLED
                lines += [line for line in joiner.unfinished(before) if line.at >= since]
            return lines[-limit:] if offset < 0 else lines[:limit]
        finally:
            os.close(descriptor)

    def bound(self, max_bytes: int) -> int:
        """Give back the oldest part when the log takes more than `max_bytes` on disk; return the bytes kept.

        Three quarters of `max_bytes` stay. Call it every few seconds: it is one `stat` when there is
        nothing to do. Raises HostFailure when the file system can't punch holes.
        """
        try:
            used = self.path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0
        if used <= max(max_bytes, 2 * _BLOCK):
            return used
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            hole = (size - max_bytes * 3 // 4) // _BLOCK * _BLOCK
            if hole > 0 and _libc.fallocate64(
                descriptor, _KEEP_SIZE_AND_PUNCH, ctypes.c_int64(0), ctypes.c_int64(hole)
            ):
                reason = os.strerror(ctypes.get_errno())
                raise HostFailure(
                    f"can't shorten the log {self.path}: {reason}", hint="keep ROOST_HOME on ext4, XFS or btrfs"
                )
            return os.fstat(descriptor).st_blocks * 512
        finally:
            os.close(descriptor)

    def containers(self) -> list[str]:
        """Return the containers that have a log here, by name, "" for the machine itself."""
        if not self._directory.is_dir():
            return []
        names = sorted(path.name.removesuffix(_OF_CONTAINER) for path in self._directory.glob(f"*{_OF_CONTAINER}"))
        return ["", *names] if self.path.exists() or not names else names

    def remove(self) -> None:
        """Remove the log, its containers' too, and its directory, if nothing else is in there. Twice is once."""
        self.path.unlink(missing_ok=True)
        for path in self._directory.glob(f"*{_OF_CONTAINER}"):
            path.unlink(missing_ok=True)
        try:
            self._directory.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise HostFailure(f"can't remove {self._directory}: {error.strerror}") from None


def _read_lines(
    descriptor: int, start: int, size: int, joiner: Joiner, since: float, limit: int | None
) -> list[LogLine]:
    lines: list[LogLine] = []
    for record in _records(descriptor, start, size):
        lines += [line for line in joiner.add(record) if line.at >= since]
        if limit is not None and len(lines) >= limit:
            break
    return lines


def _replay(descriptor: int, start: int, joiner: Joiner) -> None:
    """Tell `joiner` of lines that began before `start` and end behind it."""
    begin = max(0, start - _BLOCK)
    before = os.pread(descriptor, start - begin, begin)
    if b" P " not in before:
        return
    pieces = before.split(b"\n")
    position = begin
    for number, raw in enumerate(pieces[:-1]):  # the last one has no newline: it is not a whole record
        position += len(raw) + 1
        record = parse_record(raw, position) if number or begin == 0 else None
        if record is not None:
            joiner.add(record)
    joiner.forget_ending_at(start)  # such a one was shown unfinished, and the reader goes on behind it


def _records(descriptor: int, start: int, size: int) -> Iterator[Record]:
    """Yield the whole records from `start` up to `size`; `start` need not be at a record's beginning."""
    position, torn = _first_data(descriptor, start, size)
    rest = b""
    while position < size:
        chunk = os.pread(descriptor, min(_BLOCK * 4, size - position), position)
        if not chunk:
            return
        begin = position - len(rest)  # where `rest` began
        position += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        for raw in whole:
            begin += len(raw) + 1
            record = None if torn else parse_record(raw, begin)
            torn = False
            if record is not None:
                yield record
        if len(rest) > _BLOCK * 4:  # no writer of ours makes such a record
            rest, torn = b"", True


def _first_data(descriptor: int, start: int, size: int) -> tuple[int, bool]:
    """Skip what was given back; True: the first record there is torn."""
    try:
        data = os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError:  # ENXIO: there is no data behind it
        return size, False
    if data > start:
        return data, True
    return start, start > 0 and os.pread(descriptor, 1, start - 1) != b"\n"


def _tail_start(descriptor: int, size: int, limit: int) -> int:
    """Return an offset with more than `limit` lines' ends behind it, or that of the oldest data."""
    position, seen = size, 0
    while position > 0:
        begin = (position - 1) // _BLOCK * _BLOCK
        try:
            if os.lseek(descriptor, begin, os.SEEK_DATA) >= position:
                return position  # the rest was given back
        except OSError:
            return position
        seen += len(_LINE_END.findall(os.pread(descriptor, position - begin, begin)))
        if seen > limit:
            return begin
        position = begin
    return 0
