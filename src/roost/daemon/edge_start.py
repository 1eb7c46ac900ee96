"""`roost edge start`: the edge without roostd, from the last good configuration.

It makes the run directory if a reboot took it, and has a stand-in look after the edge (`edge_stand_in`), which adopts
what runs and starts what does not. A roostd that runs, or comes, has the edge instead: then there is nothing to do.
Owns no state; run twice or killed half-way it is run again.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import NoReturn

from roost.daemon import cloud_file, edge_stand_in, pid_file, processes
from roost.daemon.up import ensure_run_directory, home_lock, require_root
from roost.model.cloud import Cloud
from roost.model.errors import HostFailure

START_TIMEOUT = 120.0


def start(home: Path) -> str:
    """Have the edge answer, and return who looks after it. Raises NotFound without a cloud, HostFailure."""
    require_root("edge start")
    cloud = cloud_file.load_cloud(home)
    with home_lock(home):
        ensure_run_directory(cloud)
        if roostd := pid_file.read(processes.roostd_pid_file(cloud)):
            return f"roostd, pid {roostd}, looks after the edge"
        _ensure(cloud)
    deadline = time.monotonic() + START_TIMEOUT
    while not _serves(cloud):
        if pid_file.read(processes.stand_in_pid_file(cloud)) is None or time.monotonic() > deadline:
            if pid_file.read(processes.roostd_pid_file(cloud)):
                return "roostd has come, and looks after the edge"
            told = "".join(f"\n    {line}" for line in processes.last_lines(cloud.logs / "edge.log", 5))
            raise HostFailure(
                f"the edge did not start. The last lines of {cloud.logs / 'edge.log'}:{told}", hint="see `roost doctor`"
            )
        time.sleep(0.05)
    return (
        f"a stand-in, pid {pid_file.read(processes.stand_in_pid_file(cloud))}, looks after the edge until roostd comes"
    )


def become_stand_in(home: Path) -> NoReturn:
    """`roost edge start --foreground`: prepare, then turn this process into the stand-in. For systemd.

    It waits while there is another one, and gives a roostd that starts beside it its time.
    """
    require_root("edge start")
    cloud = cloud_file.load_cloud(home)
    with home_lock(home):
        ensure_run_directory(cloud)
    argv = [*edge_stand_in.argv_of(home), "--patience", f"{edge_stand_in.PATIENCE:g}"]
    os.execv(argv[0], argv)  # noqa: S606  # the pid stays, so systemd knows it


def _ensure(cloud: Cloud) -> None:
    """Have a stand-in that acts now: one that still waits for a roostd is replaced."""
    if not _serves(cloud):
        pid_file.end(processes.stand_in_pid_file(cloud), timeout=edge_stand_in.END_TIMEOUT)
    edge_stand_in.ensure(cloud)


def _serves(cloud: Cloud) -> bool:
    """Say whether the edge runs and takes connections; another program on its port is not the edge."""
    if processes.look(cloud, ask_api=False).envoy is None:
        return False
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", cloud.http_port)) == 0
