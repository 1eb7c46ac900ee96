"""Which threads of a process stand still: one worker of an Envoy that hangs, while the others and the admin answer.

Envoy's threads that serve wake up ten times a second, whatever they have to do, to tell Envoy's own watchdog that they
live. The kernel counts that: a thread that sleeps, or was stopped, and has not woken for `STILL` seconds is wedged. One
that waits for a processor is runnable and is not taken for one; while any thread waits for a disk nobody is judged,
since others may wait for what it holds. A thread in an endless loop is not seen here: Envoy ends itself then
(bootstrap.py).

State: when each thread was last seen to wake. It can be lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STILL = 0.6  # seconds
LOOKS = 5  # in that time at least: after a host stood still, each thread has had time to wake
_ASLEEP = frozenset("StT")  # sleeping, traced, stopped
_WAITS_FOR_DISK = "D"


@dataclass(frozen=True, slots=True)
class Thread:
    """What the kernel says of a thread."""

    tid: int
    name: str
    state: str  # a letter, see proc_pid_stat(5)
    waits: int  # how often it began to wait for something, since it was made


def threads_of(pid: int) -> list[Thread]:
    """Return the threads of a process; none when it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    return [found for task in tasks if (found := _thread(task))]


def _thread(task: Path) -> Thread | None:
    try:
        lines = (task / "status").read_text().splitlines()
        known = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return Thread(int(task.name), known["Name"], known["State"][:1], int(known["voluntary_ctxt_switches"]))
    except (OSError, ValueError, KeyError):
        return None  # it has ended


class Stillness:
    """Looks at one process's threads whose names begin with one of `watched`."""

    def __init__(self, watched: Iterable[str]) -> None:
        self._watched = tuple(watched)
        self._woke: dict[
            int, tuple[int, float, int]
        ] = {}  # tid -> waits, when that was first seen, and how often since

    def look(self, threads: Iterable[Thread], now: float) -> str:
        """Return the name of a thread that stands still, else "". Pure but for what it remembers."""
        found = list(threads)
        stuck = any(thread.state == _WAITS_FOR_DISK for thread in found)
        still = ""
        for thread in found:
            if not thread.name.startswith(self._watched):
                continue
            waits, since, looks = self._woke.get(thread.tid, (-1, now, 0))
            if stuck or thread.state not in _ASLEEP or waits != thread.waits:
                self._woke[thread.tid] = (thread.waits, now, 0)
                continue
            self._woke[thread.tid] = (waits, since, looks + 1)
            if looks + 1 >= LOOKS and now - since >= STILL:
                still = thread.name
        return still
