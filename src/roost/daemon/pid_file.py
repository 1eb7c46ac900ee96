"""Pid files that can't name a stranger: a pid together with the time the kernel started that process.

A pid is used again sooner or later; the pair (pid, start time) is not, until the next boot, and pid
files live below the cloud's run directory, which a boot empties. A file is replaced in one rename, so a
reader sees a whole one or none; a stale or torn file reads as "no process".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

from roost.edge import process as edge_process

LONGEST_WAIT = 30.0  # seconds


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot, or None when there is no such process.

    A zombie counts as gone: it runs nothing and only waits for its parent.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # from field 3 on: the name before may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def write(path: Path, pid: int) -> None:
    """Record the running process `pid` in `path`; does nothing when it has ended already."""
    started = start_time(pid)
    if started is None:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": pid, "start": started}))
    temporary.rename(path)


def read(path: Path) -> int | None:
    """Return the pid that `path` records if that very process still runs."""
    return _running(_record(path))


def end(path: Path, *, timeout: float) -> bool:
    """End the process of `path` as `end_process` does, and remove its record. True if one ran.

    A process that began meanwhile, as one does that waited for this end, keeps the record that it has written.
    """
    record = _record(path)
    pid = _running(record)
    ran = False
    if pid is not None:
        ran = end_process(pid, timeout=timeout, still=lambda: read(path) == pid)
    if record is not None:
        _forget(path, record)
    return ran


def end_process(pid: int, *, timeout: float, still: Callable[[], bool] = lambda: True) -> bool:
    """End a process: SIGTERM, then SIGKILL after `timeout` seconds. True if it ran.

    Returns when it has ended (a kill is waited for 10 s at most). A stopped process is woken, so that it can end in
    order. `still` is asked whether `pid` is the process that is meant, once that can't change any more; a child that
    was not waited for needs no such question.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not still():
            return False
        _end(pidfd, timeout)
        return True
    finally:
        os.close(pidfd)


def wait_for_end(pidfd: int, timeout: float, *others: int) -> bool:
    """Wait `timeout` seconds for the end of a process, or until one of `others` is readable; True for either."""
    poll = select.poll()
    for fd in (pidfd, *others):
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _record(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _running(record: bytes | None) -> int | None:
    try:
        saved = json.loads(record or b"")
        pid, started = int(saved["pid"]), int(saved["start"])
    except (ValueError, KeyError, TypeError):
        return None
    return pid if pid > 1 and start_time(pid) == started else None


def _forget(path: Path, record: bytes) -> None:
    """Remove the file if it holds `record` still: moved away first, so that it can't change after the look."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.ended")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_bytes() != record:
            with contextlib.suppress(FileExistsError):  # a still newer one
                path.hardlink_to(aside)
        aside.unlink()


async def ended(pid: int) -> None:
    """Return when a process has ended, or after a while: what its pid file says is to be read again then."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(edge_process.wait_for_end(pid), LONGEST_WAIT)


def _end(pidfd: int, timeout: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        if not wait_for_end(pidfd, timeout):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            wait_for_end(pidfd, 10.0)
