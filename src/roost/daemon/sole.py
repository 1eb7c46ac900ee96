"""One roostd per cloud: the lock that a roostd holds for its whole life, and the pid file that names it.

State: `RUN/roostd.lock` (made by `up`, removed by `down`, both under the home's lock) and `RUN/roostd.pid`. Invariant:
only the holder of the lock writes the pid file, right after taking it; so whoever starts a roostd may be killed at any
moment, and the next one finds the roostd that runs. The lock dies with its holder. `down` holds it from the end of
roostd on, and takes the file away: a roostd that was about to begin finds that out and ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from roost.daemon import pid_file, processes
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, TimedOut

_PERIOD = 0.02


def lock_file(cloud: Cloud) -> Path:
    """Where the lock is."""
    return cloud.run / "roostd.lock"


def allow_roostd(cloud: Cloud) -> None:
    """Make the lock's file, without which no roostd of this cloud begins."""
    os.close(os.open(lock_file(cloud), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def become_the_roostd(cloud: Cloud) -> int:
    """Take the lock for this process's life and write its pid file; returns the lock's descriptor.

    Raises Conflict when another roostd of this cloud runs, or the cloud is down.
    """
    fd = _take(cloud)
    if fd is None:
        other = pid_file.read(processes.roostd_pid_file(cloud))
        raise Conflict(
            f"another roostd runs for the cloud in {cloud.home}" + (f", pid {other}" if other else ""),
            hint="`roost status` shows what runs",
        )
    pid_file.write(processes.roostd_pid_file(cloud), os.getpid())
    return fd


def forbid_roostd(cloud: Cloud, *, timeout: float) -> bool:
    """End the roostd that runs, if one does, and see to it that none begins; True if one ran.

    Each one is asked first, and killed after `timeout` seconds. Raises TimedOut when somebody else holds the lock.
    """
    ran = pid_file.end(processes.roostd_pid_file(cloud), timeout=timeout)
    deadline = time.monotonic() + timeout
    while lock_file(cloud).exists():
        fd = _take(cloud)
        if fd is not None:
            lock_file(cloud).unlink()
            os.close(fd)
            break
        if time.monotonic() > deadline:
            raise TimedOut(f"{lock_file(cloud)} is held by a process that does not end", hint="see `fuser -v` on it")
        ran = pid_file.end(processes.roostd_pid_file(cloud), timeout=timeout) or ran  # one that was just beginning
        time.sleep(_PERIOD)
    return ran


def _take(cloud: Cloud) -> int | None:
    """Return a descriptor that holds the lock, None when another holds it; raises Conflict when the cloud is down."""
    path = lock_file(cloud)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _is_down(cloud) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(os.fstat(fd), path.stat()):
            raise _is_down(cloud)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_down(cloud: Cloud) -> Conflict:
    return Conflict(f"the cloud in {cloud.home} is down", hint="`roost up` starts it, and roostd with it")
