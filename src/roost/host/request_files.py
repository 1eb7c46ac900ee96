"""The request log of each app, on disk.

It owns one directory with a directory per app, in it the file of `MachineLog`: a line per request, the oldest
blocks given back when it grows. So an offset is a place for ever, also over a restart of roostd, and reading never
meets a file that is swapped. Where the disk is full lines are lost, as the writer is told. A kill in the middle of a
write leaves a torn line, which is passed over. An app's log goes with the app; all together are bounded too: the logs
that were quiet the longest go first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from roost.host.contract import LogLine
from roost.host.logs import MachineLog
from roost.model.names import check_app_name

APP_BYTES = 8 << 20  # of one app's log: some 20,000 requests
TOTAL_BYTES = 1 << 30  # of all logs
_LOOK = 1 << 20  # bytes written to a log between two looks at its size


class RequestFiles:
    """The logs below `directory`. One thread writes; any number may read."""

    def __init__(self, directory: Path, app_bytes: int = APP_BYTES, total_bytes: int = TOTAL_BYTES) -> None:
        self._directory, self._app_bytes, self._total_bytes = directory, app_bytes, total_bytes
        self._written: dict[str, int] = {}

    def append(self, app: str, lines: Sequence[tuple[float, str]]) -> int:
        """Write lines (Unix time, text without a newline); returns how many, from the first on: the disk may be full.

        Raises OSError when not a byte could be written.
        """
        log = self._log(app)
        data = b"".join(_record(at, text) for at, text in lines)
        descriptor = os.open(
            log.prepare(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            done = _write(descriptor, data)
        finally:
            os.close(descriptor)
        written = self._written.get(app, _LOOK) + len(data)
        if written >= min(_LOOK, self._app_bytes // 4):
            log.bound(self._app_bytes)
            written = 0
        self._written[app] = written
        return data.count(b"\n", 0, done)

    def read(self, app: str, *, since: float = 0.0, offset: int = 0, limit: int = 1000) -> list[LogLine]:
        """Return up to `limit` lines from `offset` on; a negative offset means the last ones. Raises HostFailure."""
        return self._log(app).read("", since=since, offset=offset, limit=limit)

    def remove(self, app: str) -> None:
        """Remove an app's log. Twice is once."""
        self._written.pop(app, None)
        shutil.rmtree(self._directory / check_app_name(app), ignore_errors=True)

    def bound_all(self) -> int:
        """Remove whole logs, those that were quiet the longest, until all together are in bounds; return the bytes."""
        found = []
        for path in self._directory.glob("*/output.log") if self._directory.is_dir() else ():
            seen = path.stat()
            found.append((seen.st_mtime, seen.st_blocks * 512, path.parent.name))
        total = sum(size for _, size, _ in found)
        for _, size, app in sorted(found):
            if total <= self._total_bytes:
                break
            self.remove(app)
            total -= size
        return total

    def apps(self) -> list[str]:
        """Return the apps that have a log."""
        return sorted(path.name for path in self._directory.iterdir()) if self._directory.is_dir() else []

    def _log(self, app: str) -> MachineLog:
        return MachineLog(self._directory / check_app_name(app))


def _write(descriptor: int, data: bytes) -> int:
    """Write as much as there is room for, and return how much. A torn last line is taken back."""
    done = os.write(descriptor, data)
    whole = data.rfind(b"\n", 0, done) + 1
    if whole < done:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - (done - whole))
    return whole


def _record(at: float, text: str) -> bytes:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    return f"{when} stdout F {text}\n".encode("utf-8", "replace")
