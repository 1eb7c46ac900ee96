"""Looks after the edge while there is no roostd: `python -m roost.daemon.edge_stand_in --home DIR`.

It waits for a lock that roostd holds for its whole life, so it knows of roostd's end at once, however that came.
From then on it starts again what dies of the edge or stands still, and gives a new Envoy the last good
configuration. The next roostd ends it, adopts the edge and starts another one. Before a roostd there is one too, which
has patience: where roostd can't start, after a reboot, it starts the edge without.

State: the pid file, and two locks: its own, which makes it one, and the edge's. Invariant: one process at a time looks
after the edge, and none while the cloud is down. Killed at any moment it leaves the edge as it is. It reads neither the
database nor anything else of the control plane; where config.toml is broken, the settings with which roostd last ran.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from roost.daemon import pid_file, sole
from roost.daemon.processes import stand_in_lock, stand_in_pid_file, stand_in_place
from roost.host.process import spawn
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, RoostError, TimedOut

if TYPE_CHECKING:
    from roost.daemon.settings import Settings

LOOK = 1.0  # seconds after the end of roostd's stand-in, in which one that systemd keeps running comes by itself
PATIENCE = 10.0  # seconds that a roostd which is about to start has for it
END_TIMEOUT = 3.0
LOCK_TIMEOUT = 60.0
ENDED_FOR_ROOSTD = 3  # exit code: whoever keeps it running (systemd) starts it again; 0: the cloud is down


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


def ensure(cloud: Cloud, *, patience: float = 0.0) -> int:
    """Start a stand-in unless there is one; returns its pid, 0 if it is only just beginning.

    `patience`: seconds that it gives a roostd. The lock passes to it before its pid is written: nobody else can begin.
    """
    fd = os.open(stand_in_place(cloud), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid_file.read(stand_in_pid_file(cloud)) or 0
        argv = [*argv_of(cloud.home), "--place", str(fd), "--patience", f"{patience:g}"]
        pid = spawn(argv, log=cloud.logs / "edge.log", pass_fds=(fd,)).pid
        pid_file.write(stand_in_pid_file(cloud), pid)
        return pid
    finally:
        os.close(fd)


def argv_of(home: Path) -> list[str]:
    """Return how a stand-in is started."""
    return [sys.executable, "-m", "roost.daemon.edge_stand_in", "--home", str(home)]


async def keep_running(cloud: Cloud) -> None:
    """Have a stand-in wait, for ever; the caller has the lock."""
    while True:
        await asyncio.sleep(LOOK)
        if (pid := pid_file.read(stand_in_pid_file(cloud))) is not None:
            await pid_file.ended(pid)
        else:
            with contextlib.suppress(RoostError, OSError):
                ensure(cloud)


def remember_settings(cloud: Cloud) -> None:
    """Keep the config.toml with which roostd runs now; a disk error keeps the one before."""
    with contextlib.suppress(OSError):
        kept = _kept_settings(cloud.home)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        if (cloud.home / "config.toml").exists():
            fresh = kept.with_suffix(".new")
            shutil.copyfile(cloud.home / "config.toml", fresh)
            fresh.chmod(0o600)
            fresh.replace(kept)
        else:
            kept.unlink(missing_ok=True)


def last_good_settings(home: Path) -> Settings:
    """Return the settings of a home; where they are broken those with which roostd last ran. Raises BadInput."""
    from roost.daemon.settings import read_settings

    try:
        return read_settings(home)
    except BadInput as error:
        found = read_settings(home, file=_kept_settings(home))
        print(f"{error.message}: taken are the settings with which roostd last ran", file=sys.stderr, flush=True)
        return found


def _kept_settings(home: Path) -> Path:
    return home / "edge" / "config.toml"


async def _look_after(cloud: Cloud, home: Path) -> None:
    from roost.daemon.edge_processes import make_edge  # all of it is loaded only when it is needed
    from roost.edge.contract import Waker

    edge = make_edge(cloud, last_good_settings(home), cast(Waker, None), None)  # without an activator nobody asks it
    await edge.stand_in()
    print("looking after the edge, since there is no roostd", flush=True)
    await asyncio.Event().wait()


def _take_place(cloud: Cloud, inherited: int) -> int:
    """Become the one stand-in, which may take until another one's end; returns the lock."""
    fd = inherited
    if fd < 0:
        fd = os.open(stand_in_place(cloud), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, False)
    pid_file.write(stand_in_pid_file(cloud), os.getpid())
    return fd


def _wait_for_lock(cloud: Cloud, patience: float) -> int:
    """Return the edge's lock: at once when the roostd that had it ends, or when none has come within `patience`."""
    fd = os.open(stand_in_lock(cloud), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(fd, fcntl.LOCK_EX)
    else:
        time.sleep(patience)  # a roostd that comes ends this process
    return fd


def main() -> int:
    """Wait, then look after the edge until another process ends this one."""
    parser = argparse.ArgumentParser(prog="roost-edge-stand-in")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--place", type=int, default=-1, help="descriptor of the lock that makes it the one stand-in")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds that a roostd has to come")
    arguments = parser.parse_args()
    from roost.daemon.cloud_file import load_cloud

    cloud = load_cloud(arguments.home)

    def is_down() -> bool:
        return not sole.lock_file(cloud).exists()

    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0 if is_down() else ENDED_FOR_ROOSTD))
    locks = [_take_place(cloud, arguments.place)]
    if not is_down():
        locks.append(_wait_for_lock(cloud, arguments.patience))
    if is_down():
        return 0
    try:
        asyncio.run(_look_after(cloud, arguments.home))
    except RoostError as error:
        print(f"can't look after the edge: {error.message}" + (f" ({error.hint})" if error.hint else ""), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
