"""How builds run programs on the host: a runner passed in, since only the host layer starts processes.

`follow` adds to it what long runs need: their output line by line while they run, and a quick end when
the user cancels. It owns one thread per run and a log file that the caller names; a program that is
cancelled is sent SIGTERM, then SIGKILL, as a whole session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from roost.build.contract import Report
from roost.model.errors import Conflict, HostFailure

_POLL = 0.1  # seconds between two looks at the log
_GRACE = 5.0  # seconds a cancelled program has before it is killed
# Tells its pid (which exec keeps), then becomes the program with both outputs in the log.
_WRAPPER = 'echo $$ >"$1"; exec >>"$2" 2>&1; shift 2; exec "$@"'


class Finished(Protocol):
    """A program that ended."""

    @property
    def returncode(self) -> int:
        """Exit code; negative when a signal ended it."""

    @property
    def stdout(self) -> bytes:
        """What it wrote to standard output."""

    @property
    def stderr(self) -> bytes:
        """What it wrote to standard error."""


class Runner(Protocol):
    """Runs a program to its end; the host layer's `run`."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        timeout: float,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run `argv`; raises TimedOut after `timeout` seconds, HostFailure when `check` and it fails."""


class LogTail:
    """Reads a growing log and reports each whole line once."""

    def __init__(self, path: Path, report: Report, keep: int = 200) -> None:
        self._path, self._report, self._keep = path, report, keep
        self._offset = 0
        self._rest = b""
        self.lines: list[str] = []  # the last ones, for an error message

    def poll(self, *, last: bool = False) -> None:
        """Report what was added since; with `last` also an unfinished line."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as log:
            log.seek(self._offset)
            data = log.read()
            self._offset += len(data)
            self._rest += data
        *whole, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            text = line.rsplit(b"\r", 1)[-1].decode("utf-8", "replace").rstrip()
            if text:
                self.lines = [*self.lines[-self._keep :], text]
                self._report(text)


def follow(
    run: Runner,
    argv: Sequence[str],
    *,
    log: Path,
    report: Report,
    cancelled: Event,
    timeout: float,
    env: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Run `argv`, reporting its output as it comes; return (exit code, last lines).

    Raises Conflict (code "cancelled") soon after `cancelled` is set, TimedOut after `timeout` seconds.
    """
    pid_file = log.with_suffix(".pid")
    outcome: list[int | BaseException] = []

    def work() -> None:
        try:
            wrapped = ["/bin/sh", "-c", _WRAPPER, "sh", str(pid_file), str(log), *argv]
            outcome.append(run(wrapped, timeout=timeout, check=False, env=env).returncode)
        except BaseException as error:
            outcome.append(error)

    tail = LogTail(log, report)
    thread = threading.Thread(target=work, name="build-run", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            if cancelled.wait(_POLL):
                _end(pid_file, thread)
                raise Conflict("the build was cancelled", code="cancelled")
            tail.poll()
    finally:
        tail.poll(last=True)
        pid_file.unlink(missing_ok=True)
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result, tail.lines


def _end(pid_file: Path, thread: threading.Thread) -> None:
    """Send SIGTERM to the program's session, and SIGKILL if it is still there after the grace time."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        deadline = time.monotonic() + patience
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
            pid = int(pid_file.read_text())
            if thread.is_alive() and os.getpgid(pid) == pid:
                os.killpg(pid, number)
        thread.join(max(0.0, deadline - time.monotonic()))
        if not thread.is_alive():
            return
    raise HostFailure("a cancelled program could not be ended", hint="look for it with ps, then end it by hand")
