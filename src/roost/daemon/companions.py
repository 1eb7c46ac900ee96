"""Keeps the processes running that work beside roostd and beyond it: started, adopted, replaced when an older Roost's.

State: of each the pid file, and the file that it makes when it is ready, which holds its form. Invariant: one at most
of each runs per cloud.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from roost import __version__
from roost.daemon import pid_file
from roost.daemon.processes import dns_pid_file, statics_pid_file
from roost.host.process import spawn
from roost.model.cloud import Cloud
from roost.model.errors import RoostError
from roost.store.database import newest_revision

log = structlog.get_logger("roost.companions")
FIRST_PAUSE = 0.5  # seconds; one that can't run is tried again after twice that, and so on
LONGEST_PAUSE = 30.0  # seconds before one that can't run is tried again; doubles up to this
END_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Companion:
    """A process beside roostd: the module that it runs, with the cloud's `home`, and its files."""

    name: str
    module: str
    home: Path
    pid: Path
    ready: Path
    log: Path
    form: str  # what `ready` says; a change of it replaces one that an older Roost started


def dns(cloud: Cloud) -> Companion:
    """Return the DNS server. It reads the database, so its form tells the schema that it understands."""
    return Companion(
        name="DNS server",
        module="roost.daemon.dnsd",
        home=cloud.home,
        pid=dns_pid_file(cloud),
        ready=cloud.dns_ready,
        log=cloud.logs / "dns.log",
        form=f"{newest_revision()} 2",
    )


def statics(cloud: Cloud) -> Companion:
    """Return the server of files of images."""
    return Companion(
        name="server of files",
        module="roost.daemon.staticsd",
        home=cloud.home,
        pid=statics_pid_file(cloud),
        ready=cloud.run / "statics.ready",
        log=cloud.logs / "statics.log",
        form=f"{__version__} 1",
    )


async def keep_running(companion: Companion) -> None:
    """Look after it for ever."""
    if pid_file.read(companion.pid) is not None and not _is_of_this_form(companion):
        await asyncio.to_thread(pid_file.end, companion.pid, timeout=END_TIMEOUT)
    pause = FIRST_PAUSE
    while True:
        if (pid := pid_file.read(companion.pid)) is None:
            pause = min(pause * 2, LONGEST_PAUSE)
            companion.ready.unlink(missing_ok=True)
            _start(companion)
            await asyncio.sleep(pause)
        else:
            await pid_file.ended(pid)
            if companion.ready.exists():
                pause = FIRST_PAUSE


async def until_ready(companion: Companion, timeout: float) -> None:
    """Wait until it is ready, but `timeout` seconds at most: a cloud without it is better than none."""
    deadline = time.monotonic() + timeout
    while not companion.ready.exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def _is_of_this_form(companion: Companion) -> bool:
    try:
        return companion.ready.read_text() == companion.form
    except OSError:
        return False


def _start(companion: Companion) -> None:
    argv = [sys.executable, "-m", companion.module, "--home", str(companion.home)]
    try:
        pid_file.write(companion.pid, spawn(argv, log=companion.log).pid)
    except (RoostError, OSError) as error:
        log.warning(f"the {companion.name} could not be started", error=str(error))
