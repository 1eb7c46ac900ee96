"""Whether roostd lives: it says so every second, and who keeps it running sees when that stops.

State: one empty file in the run directory, whose time changes; under systemd its watchdog is told too. A roostd that
was stopped by a signal is told to go on; one whose event loop stands still for `PATIENCE` seconds is killed, and
started again like any that ended. Only changes count, by the looker's own clock, while it looks: neither a clock that
jumps nor a host that slept, or was frozen with both, makes a roostd look dead. One that never said anything (it is only
starting) is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from roost.daemon import readiness
from roost.edge.process import is_stopped
from roost.model.cloud import Cloud
from roost.plan.ticks import until_next

PERIOD = 1.0
PATIENCE = 60.0  # seconds
APART = 5.0  # seconds between two looks that count at most: who comes back later was away, and roostd perhaps too
LOOKS = 2  # at a stopped one, until it is told to go on


def pulse_file(cloud: Cloud) -> Path:
    """Its time of change is when roostd last said that it lives."""
    return cloud.run / "roostd.pulse"


async def keep(cloud: Cloud, notify_socket: str) -> None:
    """Say it for ever; a disk error keeps nobody from it."""
    path = pulse_file(cloud)
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)
    while True:
        with contextlib.suppress(OSError):
            os.utime(path)
        readiness.say(notify_socket, b"WATCHDOG=1")
        await asyncio.sleep(until_next(PERIOD, time.monotonic()))


class Pulse:
    """What one looker has seen of one roostd."""

    def __init__(self, path: Path, pid: int) -> None:
        self._path, self._pid = path, pid
        self._at = self._changed()
        self._beats = False  # it has changed since this looker is there
        self._looked = 0.0  # when, 0: not yet
        self._still = 0.0  # seconds of looking since it changed
        self._stopped = 0

    def verdict(self, now: float) -> str:
        """Return "stopped" when roostd is to be told to go on, "still" when it is to be killed, else "".

        `now` is of a clock that does not jump.
        """
        self._stopped = self._stopped + 1 if is_stopped(self._pid) else 0
        self._still += min(now - self._looked, APART) if self._looked else 0.0
        at, self._looked = self._changed(), now
        if at != self._at or self._stopped:
            self._beats |= at != self._at
            self._at, self._still = at, 0.0
        if self._stopped >= LOOKS:
            return "stopped"
        return "still" if self._beats and self._still > PATIENCE else ""

    def _changed(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
