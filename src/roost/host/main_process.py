"""The main process of a machine: whether it lives, sending it signals, waiting for its end.

Stateless: looks at /proc. A pid alone is never trusted, since the kernel gives it out again: it counts
only together with the start time, and signals go through a pidfd.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from roost.host.machine_files import MainProcess
from roost.model.errors import BadInput
from roost.model.machine import ExitInfo

_LOOK_AGAIN = 0.02  # seconds between looks at a process that has been asked to end
_SIGTIMEDWAIT = {"x86_64": "128", "aarch64": "137"}  # rt_sigtimedwait's number
_BLOCKED_LOOKS = 10


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
        deaf = is_deaf(main.pid, number)  # before the signal: a handler may be there for one time only
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        if deaf:
            _signal_all(others(), number)
        while (left := deadline - time.monotonic()) > 0:
            if deaf and not others():
                return False
            if select.select([fd], [], [], min(left, _LOOK_AGAIN) if deaf else left)[0]:
                return True
    return False


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


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


def kill_tree(pid: int, processes: Callable[[], list[int]]) -> None:
    """Kill a process and its descendants among `processes`: stopped first, so that none has more children."""
    doomed: set[int] = set()
    for _ in range(16):
        alive = processes()
        family = doomed | ({pid} & set(alive))
        family |= {other for other in alive if parent_of(other) in family}
        if family == doomed:
            break
        for member in family - doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGSTOP)
        doomed = family
    for member in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def is_deaf(pid: int, number: int) -> bool:
    """Say whether a process leaves a signal to its default action, which the kernel spares a namespace's first.

    One that blocks the signal is looked at again for a while: a shell does so while it forks, a program that
    takes signals by sigwait(3) does so always, and is not deaf.
    """
    for _ in range(_BLOCKED_LOOKS):
        masks = _signal_masks(pid)
        if not masks or any(masks[name] >> (number - 1) & 1 for name in ("SigIgn", "SigCgt")):
            return False
        if not masks["SigBlk"] >> (number - 1) & 1:
            return not _takes_signals_by_waiting(pid)
        time.sleep(_LOOK_AGAIN)
    return False


def _takes_signals_by_waiting(pid: int) -> bool:
    """Say whether a process is in sigtimedwait(2), as small init programs are: then no mask tells of it."""
    try:
        number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return False
    return number == _SIGTIMEDWAIT.get(platform.machine(), "")


def _signal_masks(pid: int) -> dict[str, int]:
    """Return what a process blocks, ignores and catches, as bit masks; nothing when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    rows = (line.partition(":") for line in lines)
    return {name: int(value, 16) for name, _, value in rows if name in ("SigBlk", "SigIgn", "SigCgt")}


def signal_number(name: str) -> int:
    """Return a signal's number; raises BadInput."""
    try:
        return signal.Signals[name].value
    except KeyError:
        raise BadInput(f"{name[:40]!r} is not a signal", hint="use a name like SIGTERM") from None


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
