"""The main process of a machine: whether it lives, sending it signals, waiting for its end.

Stateless: looks at /proc. A pid alone is never trusted, since the kernel gives it out again: it counts
only together with the start time, and signals go through a pidfd.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from roost.host.machine_files import MainProcess
from roost.model.machine import ExitInfo

_LOOK_AGAIN = 0.02  # seconds between looks at a process that has been asked to end


def start_ticks(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 when it is not alive."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 when it is not alive."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_alive(main: MainProcess) -> bool:
    """Say whether the very process still runs."""
    return main.ticks != 0 and start_ticks(main.pid) == main.ticks


def send(main: MainProcess, number: int) -> bool:
    """Send a signal; False when the process has ended."""
    with _pidfd(main) as fd:
        if fd is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            return True
    return False


def end(main: MainProcess, number: int, timeout: float, others: Callable[[], list[int]]) -> bool:
    """Ask the process to end with a signal and wait up to `timeout` seconds; False when it still runs.

    The first process of a pid namespace is deaf to signals it has no handler for. Where it would have
    died of this one, the machine's `others` get the signal in its place (a shell waits for its command),
    and if there are none, the wait is over at once: the caller kills it.
    """
    deadline = time.monotonic() + timeout
    with _pidfd(main) as fd:
        if fd is None:
            return True
        deaf = is_deaf(main.pid, number)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        if deaf:
            for pid in others():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        while (left := deadline - time.monotonic()) > 0:
            if deaf and not others():
                return False
            pause = min(left, _LOOK_AGAIN) if deaf else left
            if select.select([fd], [], [], pause)[0]:
                return True
    return False


def wait(main: MainProcess, timeout: float) -> bool:
    """Wait up to `timeout` seconds for a process to end; False when it still runs."""
    with _pidfd(main) as fd:
        return fd is None or bool(select.select([fd], [], [], timeout)[0])


def kill(main: MainProcess, timeout: float) -> bool:
    """Kill the process and wait up to `timeout` seconds for its end; False when it still runs."""
    with _pidfd(main) as fd:
        if fd is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        return bool(select.select([fd], [], [], timeout)[0])


def is_deaf(pid: int, number: int) -> bool:
    """Say whether a process leaves a signal to its default action, which the kernel spares a namespace's first."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    masks = {name: int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name in _MASKS}
    return not any(mask >> (number - 1) & 1 for mask in masks.values())


_MASKS = ("SigBlk", "SigIgn", "SigCgt")


def exit_info(code: int, *, oom_kills: int, requested: bool, at: float) -> ExitInfo:
    """Read an exit code as conmon writes it: 128 + N stands for signal N (pure)."""
    number = code - 128 if 128 < code <= 128 + 64 else 0
    return ExitInfo(code, number, bool(oom_kills) and number == signal.SIGKILL, requested, at)


@contextlib.contextmanager
def _pidfd(main: MainProcess) -> Iterator[int | None]:
    try:
        fd = os.pidfd_open(main.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd if is_alive(main) else None
    finally:
        os.close(fd)
