"""Which threads of a process stand still: one worker of an Envoy that hangs, while the others and the admin answer.

Envoy's threads that serve wake up ten times a second, whatever they have to do, to tell Envoy's own watchdog that they
live. The kernel counts that: a thread that sleeps, or was stopped, and has not woken for `STILL` seconds is wedged. One
that waits for a processor is runnable and is not taken for one; while any thread waits for a disk nobody is judged,
since others may wait for what it holds. HAProxy's threads may sleep as long as they like: of any process, a thread is
wedged that was stopped alone, by a debugger, for that time. A thread in an endless loop is not seen here: Envoy ends
itself then (bootstrap.py), and so does HAProxy.

State: when each thread was last seen to wake. It can be lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STILL = 0.6  # seconds
LOOKS = 5  # in that time at least: after a host stood still, each thread has had time to wake
HABIT = 10  # looks at which a thread had woken, before it is judged
_STOPPED = frozenset("tT")  # traced, stopped
_ASLEEP = _STOPPED | frozenset("S")  # sleeping
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


@dataclass(slots=True)
class _Record:
    name: str
    waits: int
    since: float  # when it was first seen
    looks: int = 0  # since then
    woken: int = 0  # looks at which the thread had woken


class Stillness:
    """Looks at one process's threads whose names begin with one of `watched`.

    A thread that one of them makes has its name, and may sleep as it likes: of a name the first thread is meant.
    """

    def __init__(self, watched: Iterable[str]) -> None:
        self._watched = tuple(watched)
        self._known: dict[int, _Record] = {}
        self._stopped: dict[int, _Record] = {}

    def look(self, threads: Iterable[Thread], now: float) -> str:
        """Return the name of a thread that stands still, else "". Pure but for what it remembers."""
        found = list(threads)
        stuck = any(thread.state == _WAITS_FOR_DISK for thread in found)
        first = {thread.name: thread for thread in sorted(found, key=lambda one: -one.tid)}
        still = ""
        for thread in first.values():
            if thread.name.startswith(self._watched) and self._is_still(thread, now, stuck=stuck):
                still = thread.name
        return self._look_at_stopped(found, now) or still

    def _look_at_stopped(self, threads: Iterable[Thread], now: float) -> str:
        """Return the name of a thread that was stopped and stays so, else "". One that is traced runs in between."""
        before, self._stopped, still = self._stopped, {}, ""
        for thread in threads:
            if thread.state in _STOPPED:
                record = before.get(thread.tid)
                if record is None or record.waits != thread.waits:
                    record = _Record(thread.name, thread.waits, now)
                record.looks += 1
                self._stopped[thread.tid] = record
                if record.looks > LOOKS and now - record.since >= STILL:
                    still = thread.name
        return still

    def knows(self, name: str) -> bool:
        """Say whether a thread whose name begins so would be judged."""
        return any(record.woken >= HABIT for record in self._known.values() if record.name.startswith(name))

    def _is_still(self, thread: Thread, now: float, *, stuck: bool) -> bool:
        record = self._known.setdefault(thread.tid, _Record(thread.name, thread.waits, now))
        if record.waits != thread.waits:
            record.woken += 1
        if stuck or thread.state not in _ASLEEP or record.waits != thread.waits:
            record.waits, record.since, record.looks = thread.waits, now, 0
            return False
        record.looks += 1
        return record.woken >= HABIT and record.looks > LOOKS and now - record.since >= STILL
