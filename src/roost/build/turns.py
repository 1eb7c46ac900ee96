"""One process at a time, by a lock on a file, and saying so while one waits. The lock dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from roost.build.contract import Report
from roost.model.errors import Conflict, TimedOut

_LOOK = 0.2  # seconds between two tries


@contextmanager
def turn(lock: Path, *, waits_for: str, patience: float, report: Report, cancelled: Event) -> Iterator[None]:
    """Hold the lock; the file is made if it is missing. `waits_for` says in words whose end is waited for.

    `patience` is in seconds. Raises Conflict (`cancelled`) when that comes first, TimedOut.
    """
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    waiting = False
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    report(f"waiting for {waits_for}")
                    waiting = True
            if cancelled.wait(_LOOK):
                raise Conflict("the build was cancelled", code="cancelled")
            if time.monotonic() > deadline:
                raise TimedOut(f"{waits_for} does not end", hint="cancel it: roost operations list")
        yield
    finally:
        os.close(fd)
