"""Which threads of a process stand still: one worker of an Envoy that hangs, while the others and the admin answer.

Envoy's threads that serve wake up ten times a second, whatever they have to do, to tell Envoy's own watchdog that they
live. The kernel counts that: a thread that sleeps, or was stopped, and has not woken for `STILL` seconds is wedged. One
that waits for a processor is runnable and is not taken for one; while any thread waits for a disk nobody is judged,
since others may wait for what it holds. HAProxy's threads may sleep as long as they like: of any process, a thread is
wedged that was stopped alone, by a debugger, for that time. A thread in an endless loop is not seen here: Envoy ends
itself then (bootstrap.py), and so does HAProxy.

Looks are rare as long as every thread has woken since the one before, and come closely after each other from the first
that finds one which has not, so a wedged thread is named as soon as if all looks were close.

State: when each thread was last seen to wake. It can be lost.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

LOOK = 0.2  # seconds between two looks: threads that serve wake twice in it
CLOSE_LOOK = 0.08  # while one is doubted: `STILL` is one look and `LOOKS` of these
STILL = 0.6  # seconds
LOOKS = 5  # in that time at least: after a host stood still, each thread has had time to wake
HABIT = 5  # looks at which a thread had woken, before it is judged
_STOPPED = frozenset("tT")  # traced, stopped
_ASLEEP = _STOPPED | frozenset("S")  # sleeping
_WAITS_FOR_DISK = "D"
_FIELDS = re.compile(rb"Name:\t(.*)\n(?:.*\n)*?State:\t(.)(?:.*\n)*?voluntary_ctxt_switches:\t(\d+)")


@dataclass(frozen=True, slots=True)
class Thread:
    """What the kernel says of a thread."""

    tid: int
    name: str
    state: str  # a letter, see proc_pid_stat(5)
    waits: int  # how often it began to wait for something, since it was made


class Threads:
    """The threads of a process. What the kernel says of each is kept open: it is read again and again."""

    def __init__(self, pid: int) -> None:
        self._place = f"/proc/{pid}/task"
        self._files: dict[str, int] = {}  # thread -> descriptor

    def look(self) -> list[Thread]:
        """Return them as they are now; none when the process has ended."""
        tids: list[str] = []
        with contextlib.suppress(OSError):
            tids = os.listdir(self._place)  # noqa: PTH208
        for tid in self._files.keys() - tids:
            self._close(tid)
        return [found for tid in tids if (found := self._thread(tid))]

    def close(self) -> None:
        """Look no more."""
        for tid in list(self._files):
            self._close(tid)

    def _thread(self, tid: str) -> Thread | None:
        """Read as bytes, and no more fields than are wanted: it is done for each thread of the edge, at each look."""
        try:
            if tid not in self._files:
                self._files[tid] = os.open(f"{self._place}/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(self._files[tid], 4096, 0)
        except OSError:  # it has ended; another may have its number at the next look
            self._close(tid)
            return None
        found = _FIELDS.match(text)
        return Thread(int(tid), found[1].decode(errors="replace"), found[2].decode(), int(found[3])) if found else None

    def _close(self, tid: str) -> None:
        if (descriptor := self._files.pop(tid, None)) is not None:
            os.close(descriptor)


def threads_of(pid: int) -> list[Thread]:
    """Return the threads of a process as they are now; none when it has ended."""
    with contextlib.closing(Threads(pid)) as threads:
        return threads.look()


@dataclass(slots=True)
class _Record:
    name: str
    waits: int
    since: float  # when it was first seen
    looks: int = 0  # since then
    woken: int = 0  # looks at which the thread had woken

    def is_doubted(self) -> bool:
        """Say whether it is one that wakes often and had not woken at the latest look."""
        return self.looks > 0 and self.woken >= HABIT


class Stillness:
    """Looks at one process's threads whose names begin with one of `watched`.

    A thread that one of them makes has its name, and may sleep as it likes: of a name the first thread is meant.
    """

    def __init__(self, watched: Iterable[str]) -> None:
        self._watched = tuple(watched)
        self._known: dict[int, _Record] = {}
        self._stopped: dict[int, _Record] = {}
        self.doubts = False  # a thread may be about to count as still: the next look should come soon

    def look(self, threads: Iterable[Thread], now: float) -> str:
        """Return the name of a thread that stands still, else "". Pure but for what it remembers."""
        found = list(threads)
        stuck = any(thread.state == _WAITS_FOR_DISK for thread in found)
        first = {thread.name: thread for thread in sorted(found, key=lambda one: -one.tid)}
        judged = [thread for thread in first.values() if thread.name.startswith(self._watched)]
        still = ""
        for thread in judged:
            if self._is_still(thread, now, stuck=stuck):
                still = thread.name
        still = self._look_at_stopped(found, now) or still
        self.doubts = bool(self._stopped) or any(self._known[thread.tid].is_doubted() for thread in judged)
        return still

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
