"""Keeps the server of files running, beside roostd and beyond it: started, adopted, replaced if it is an older one.

State: the pid file, and the file that says in which form it runs. Invariant: one at most runs per cloud.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from roost import __version__
from roost.daemon import pid_file
from roost.daemon.processes import statics_pid_file
from roost.host.process import spawn
from roost.model.cloud import Cloud
from roost.model.errors import RoostError

log = structlog.get_logger("roost.statics")
LOOK = 0.5  # seconds between two looks
LONGEST_PAUSE = 30.0  # seconds before one that can't run is tried again; doubles up to this
END_TIMEOUT = 3.0
FORM = f"{__version__} 1"  # of the process; a change of it replaces one that an older Roost started


def ready_file(cloud: Cloud) -> Path:
    """There while it serves; holds its form."""
    return cloud.run / "statics.ready"


async def keep_running(cloud: Cloud) -> None:
    """Look after it for ever."""
    if pid_file.read(statics_pid_file(cloud)) is not None and not _is_of_this_form(cloud):
        await asyncio.to_thread(pid_file.end, statics_pid_file(cloud), timeout=END_TIMEOUT)
    pause = LOOK
    while True:
        if pid_file.read(statics_pid_file(cloud)) is None:
            pause = min(pause * 2, LONGEST_PAUSE)
            ready_file(cloud).unlink(missing_ok=True)
            _start(cloud)
        elif ready_file(cloud).exists():
            pause = LOOK
        await asyncio.sleep(pause)


def _is_of_this_form(cloud: Cloud) -> bool:
    try:
        return ready_file(cloud).read_text() == FORM
    except OSError:
        return False


def _start(cloud: Cloud) -> None:
    argv = [sys.executable, "-m", "roost.daemon.staticsd", "--home", str(cloud.home)]
    try:
        child = spawn(argv, log=cloud.logs / "statics.log")
        pid_file.write(statics_pid_file(cloud), child.pid)
    except (RoostError, OSError) as error:
        log.warning("the server of files could not be started", error=str(error))
