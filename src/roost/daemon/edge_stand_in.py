"""Looks after the edge while there is no roostd: `python -m roost.daemon.edge_stand_in --home DIR`.

It waits for a lock that roostd holds for its whole life, so it knows of roostd's end at once, however that came.
From then on it starts again what dies of the edge or stands still, and gives a new Envoy the last good
configuration. The next roostd ends it, adopts the edge and starts another one. State: the pid file and the lock.
Invariant: one process at a time looks after the edge. Killed at any moment it leaves the edge as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import cast

from roost.daemon import pid_file
from roost.daemon.processes import stand_in_lock, stand_in_pid_file
from roost.host.process import spawn
from roost.model.cloud import Cloud
from roost.model.errors import RoostError, TimedOut

LOOK = 1.0  # seconds between two looks of roostd at its stand-in
END_TIMEOUT = 3.0
LOCK_TIMEOUT = 5.0


def take_over(cloud: Cloud) -> int:
    """End the stand-in and look after the edge until this process ends. Returns the lock; raises TimedOut."""
    fd = os.open(stand_in_lock(cloud), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        pid_file.end(stand_in_pid_file(cloud), timeout=END_TIMEOUT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                hint = f"see `fuser -v {stand_in_lock(cloud)}`"
                raise TimedOut("another process looks after the edge", hint=hint) from None
            time.sleep(0.02)


async def keep_running(cloud: Cloud) -> None:
    """Have a stand-in wait, for ever; the caller has the lock."""
    while True:
        if pid_file.read(stand_in_pid_file(cloud)) is None:
            argv = [sys.executable, "-m", "roost.daemon.edge_stand_in", "--home", str(cloud.home)]
            with contextlib.suppress(RoostError, OSError):
                pid_file.write(stand_in_pid_file(cloud), spawn(argv, log=cloud.logs / "edge.log").pid)
        await asyncio.sleep(LOOK)


async def _look_after(cloud: Cloud, home: Path) -> None:
    from roost.daemon.edge_processes import make_edge  # all of it is loaded only when it is needed
    from roost.daemon.settings import read_settings
    from roost.edge.contract import Waker

    edge = make_edge(cloud, read_settings(home), cast(Waker, None), None)  # without an activator nobody asks it
    await edge.stand_in()
    print("looking after the edge, since roostd has ended", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    """Wait, then look after the edge until another process ends this one."""
    parser = argparse.ArgumentParser(prog="roost-edge-stand-in")
    parser.add_argument("--home", type=Path, required=True)
    home: Path = parser.parse_args().home
    from roost.daemon.cloud_file import load_cloud

    cloud = load_cloud(home)
    fd = os.open(stand_in_lock(cloud), os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    asyncio.run(_look_after(cloud, home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
