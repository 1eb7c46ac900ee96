"""Keeps the DNS server running, beside roostd and beyond it: started, adopted, replaced when it is of an older Roost.

State: the pid file. Invariant: one at most runs per cloud, since the second one can't have the addresses.
"""

from __future__ import annotations

import asyncio
import sys
import time

import structlog

from roost.daemon import pid_file
from roost.daemon.processes import dns_pid_file
from roost.host.process import spawn
from roost.model.cloud import Cloud
from roost.model.errors import RoostError
from roost.store.database import newest_revision

log = structlog.get_logger("roost.dns")
LOOK = 0.5  # seconds between two looks
LONGEST_PAUSE = 30.0  # seconds before one that can't run is tried again; doubles up to this
END_TIMEOUT = 3.0
READY_TIMEOUT = 3.0
FORM = 2  # of the process; a change of it replaces one that an older Roost started


async def keep_running(cloud: Cloud) -> None:
    """Look after it for ever."""
    if pid_file.read(dns_pid_file(cloud)) is not None and not _understands(cloud):
        await asyncio.to_thread(pid_file.end, dns_pid_file(cloud), timeout=END_TIMEOUT)
    pause = LOOK
    while True:
        if pid_file.read(dns_pid_file(cloud)) is None:
            pause = min(pause * 2, LONGEST_PAUSE)
            cloud.dns_ready.unlink(missing_ok=True)
            _start(cloud)
        elif cloud.dns_ready.exists():
            pause = LOOK
        await asyncio.sleep(pause)


async def until_ready(cloud: Cloud) -> None:
    """Wait until it answers, but not long: a cloud without names is better than none."""
    deadline = time.monotonic() + READY_TIMEOUT
    while not cloud.dns_ready.exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def ready_text() -> str:
    """Return what the file says that tells of a ready DNS server: the schema it understands, and its own form."""
    return f"{newest_revision()} {FORM}"


def _understands(cloud: Cloud) -> bool:
    try:
        return cloud.dns_ready.read_text() == ready_text()
    except OSError:
        return False


def _start(cloud: Cloud) -> None:
    argv = [sys.executable, "-m", "roost.daemon.dnsd", "--home", str(cloud.home)]
    try:
        child = spawn(argv, log=cloud.logs / "dns.log")
        pid_file.write(dns_pid_file(cloud), child.pid)
    except (RoostError, OSError) as error:
        log.warning("the DNS server could not be started", error=str(error))
