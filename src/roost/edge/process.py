"""Processes that outlive roostd, Envoys and the front: found, started, watched, ended.

State: a unit's pid file (pid and start time). Invariant: at most one process of a unit runs, and no other
is ever signalled. If the keeper dies between starting a process and writing the pid file, the next one
finds it by the socket on which it answers. One that ends is started again, with growing pauses; one that
stands still (it was stopped, answers nothing for long, or has a thread that hangs) is killed first; a front that was
stopped is told to go on before that, since many connections would end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from roost.edge.threads import CLOSE_LOOK, LOOK, Stillness, Threads
from roost.edge.unit import Question, Unit
from roost.edge.written import write
from roost.model.errors import Conflict, HostFailure
from roost.plan.ticks import until_next

Spawn = Callable[[Sequence[str], Path], int]  # argv, log file -> pid of a detached process in its own session

Limit = Callable[[str, int], None]  # a unit's name and the pid of its new process, to put limits on

FIRST_PAUSE = 0.02  # seconds before a process that ended is started again; doubles
LONGEST_PAUSE = 10.0
STEADY = 30.0  # seconds of life after which the pauses begin anew
READY_TIMEOUT = 60.0  # seconds; on a server that is short of processor Envoy takes ten and more
LOOKS = 2  # at a stopped process, after which it is killed
PROBE_PERIOD = 1.0
PROBE_TIMEOUT = 0.25
PROBE_AGAIN = 0.25  # seconds after a probe without an answer
MISSES = 18  # of them in a row after which one that runs is killed: the server may just be busy
STOPPED = "T"  # the state of a process that was stopped by a signal
_BIGGEST_ANSWER = 64 * 1024
_log = logging.getLogger("roost.edge")


def _no_limit(_name: str, _pid: int) -> None:
    return


class Keeper:
    """Keeps one unit's process running. `on_new` is called whenever a process begins, whose state is empty."""

    def __init__(
        self, unit: Unit, spawn: Spawn, on_new: Callable[[], None] = lambda: None, limit: Limit = _no_limit
    ) -> None:
        self.unit = unit
        self.pid = 0
        self.adopted = False
        self.restarts = 0
        self.trouble = ""
        self.ended: dict[str, object] = {}  # when and why one ended the last time, "at" and "why"; {}: none did
        self.still = Stillness(())  # of the process that runs
        self._spawn, self._on_new, self._limit = spawn, on_new, limit
        self._watcher: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Adopt the process that runs or start one, and keep one running from now on.

        Raises Conflict when its port is taken, HostFailure when it does not come up.
        """
        self.pid = await self._find()
        self.adopted = self.pid != 0
        if not self.pid:
            await self._start()
        self._watcher = asyncio.create_task(self._watch())

    async def release(self) -> None:
        """Stop watching; the process runs on."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None

    async def find(self) -> int:
        """Return the pid of the unit's process, 0 when none runs or answers."""
        if self.pid and read_pid(self.unit.pid_file) == self.pid:
            return self.pid
        return await self._find()

    async def end(self) -> None:
        """End the process and stop watching it. Does nothing when none runs."""
        await self.release()
        if pid := await self.find():
            await terminate(pid)
        self.pid = 0
        for path in (self.unit.pid_file, *self.unit.stale):
            path.unlink(missing_ok=True)

    async def _find(self) -> int:
        """Return the pid of the process, 0 if none runs.

        One that is ours and does not answer is ended, after as long as one that is watched has, for the server may
        just be busy, or it has only begun. One that was stopped has less.
        """
        deadline = time.monotonic() + MISSES * (PROBE_PERIOD + PROBE_TIMEOUT)
        while True:
            pid, listening = read_pid(self.unit.pid_file), peer_pid(self.unit.probe)
            for candidate in dict.fromkeys((pid, listening)):
                if candidate and await self._identified(2.0) and peer_pid(self.unit.probe) == candidate:
                    write_pid(self.unit.pid_file, candidate)
                    return candidate
            if not pid:
                return 0
            if is_stopped(pid) or time.monotonic() > deadline:
                await terminate(pid)
                return 0
            await asyncio.sleep(LOOK)

    async def _identified(self, timeout: float) -> bool:
        return await answers(self.unit.probe, self.unit.identity, timeout)

    async def _start(self) -> None:
        for port, flag in self.unit.ports:
            check_port(port, flag)
        for path in self.unit.stale:
            path.unlink(missing_ok=True)
        self._on_new()
        self.pid = self._spawn(self.unit.argv, self.unit.log)
        self._limit(self.unit.name, self.pid)
        write_pid(self.unit.pid_file, self.pid)
        deadline = time.monotonic() + READY_TIMEOUT
        while not await self._identified(1.0):
            if time.monotonic() > deadline or not alive(self.pid):
                await terminate(self.pid)
                self.pid = 0
                raise HostFailure(f"the edge's {self.unit.name} did not come up", hint=f"see {self.unit.log}")
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        pause, began = FIRST_PAUSE, time.monotonic()
        while True:
            if self.pid:
                why = await self._until_it_ended(self.pid)
                self.pid = 0
                self.ended = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
                _log.warning("the edge's %s %s and is started again", self.unit.name, why)
                if time.monotonic() - began > STEADY:
                    pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            began = time.monotonic()
            self.restarts += 1
            try:
                await self._start()
                self.trouble = ""
            except (HostFailure, Conflict, OSError) as error:
                if self.trouble != str(error):
                    _log.error("the edge's %s can't be started: %s", self.unit.name, error)
                self.trouble = str(error)

    async def _until_it_ended(self, pid: int) -> str:
        """Return how it did when the process has ended, or was killed because it stood still."""
        ended, looking = asyncio.create_task(wait_for_end(pid)), asyncio.create_task(self._until_it_stands_still(pid))
        try:
            await asyncio.wait({ended, looking}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return _told(ended.result())
            still = looking.result()
            _signal(pid, signal.SIGKILL)
            await ended
            return f"was killed: {still}"
        finally:
            for task in (ended, looking):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _until_it_stands_still(self, pid: int) -> str:
        """Return what shows that the process does; never while it is well."""
        misses = looks = 0
        still = self.still = Stillness(self.unit.awake)
        due = time.monotonic() + PROBE_PERIOD
        with contextlib.closing(Threads(pid)) as threads:
            while True:
                doubts = looks or misses or still.doubts
                await asyncio.sleep(CLOSE_LOOK if doubts else until_next(LOOK, time.monotonic()))
                found, patience = threads.look(), LOOKS * 2 if self.unit.goes_on else LOOKS
                looks = looks + 1 if any(one.tid == pid and one.state == STOPPED for one in found) else 0
                if looks == LOOKS < patience:
                    _log.warning("the edge's %s was stopped, and is told to go on", self.unit.name)
                    _signal(pid, signal.SIGCONT)
                if looks >= patience:
                    return "stopped"
                if not looks and (hangs := still.look(found, time.monotonic())):
                    return f"thread {hangs} stood still"
                if not looks and time.monotonic() >= due:
                    well = await answers(self.unit.probe, self.unit.pulse, PROBE_TIMEOUT)
                    misses = 0 if well else misses + 1
                    if misses >= MISSES:
                        return "did not answer"
                    due = time.monotonic() + (PROBE_AGAIN if misses else PROBE_PERIOD)


def _told(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended"
    return f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a process that is waited for: it was not reaped yet, so the pid is still its own."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def answers(at: Path, question: Question, timeout: float) -> bool:
    """Return whether who listens at a unix socket answers a question as it should within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(at)
            try:
                writer.write(question.text.encode())
                got = b""
                while (data := await reader.read(16384)) and len(got) < _BIGGEST_ANSWER:
                    got += data
                    if question.answer.encode() in got:
                        return True
            finally:
                writer.close()
    except (OSError, TimeoutError):
        pass
    return False


async def accepts(port: int, timeout: float) -> bool:
    """Wait until a port of this host takes connections; False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        await asyncio.sleep(0.01)
    return False


def check_port(port: int, flag: str = "--http-port") -> None:
    """Raise Conflict if a public port, which `flag` sets, can't be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104
            probe.listen(1)
        except PermissionError:
            raise Conflict(
                f"the edge may not listen on port {port}: ports below 1024 are root's",
                hint=f"run as root, or choose another with `roost up {flag} PORT`",
            ) from None
        except OSError:
            raise Conflict(
                f"port {port} is used by another program, so the edge can't listen on it",
                hint=f"stop that program (`ss -ltnp 'sport = :{port}'` shows it), "
                f"or choose another port with `roost up {flag} PORT`",
            ) from None


def alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and waits to be reaped does not. Reaps our own."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return _start_time(pid) > 0


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped by a signal."""
    return _stat(pid)[:1] == [STOPPED]


def user_of(pid: int) -> int:
    """Return the user id that a process runs as, -1 if it has ended."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1


def peer_pid(path: Path) -> int:
    """Return the pid of the process that listens on a unix socket, 0 if none does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(path))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        return 0
    return int(struct.unpack("3i", credentials)[0])


def write_pid(path: Path, pid: int) -> None:
    """Record a process with its start time. Where the disk does not take it, the process is found by its socket."""
    try:
        write(path, json.dumps({"pid": pid, "start": _start_time(pid)}))
    except OSError as error:
        _log.warning("%s can't be written: %s", path, error.strerror)


def read_pid(path: Path) -> int:
    """Return the pid in the file if that very process still runs, else 0."""
    try:
        saved = json.loads(path.read_text())
        pid, start = int(saved["pid"]), int(saved["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if start and _start_time(pid) == start else 0


async def wait_for_end(pid: int) -> int | None:
    """Wait for a process's end, its last thread included, so that its ports are free. It need not be a child.

    Returns its exit code, negative the signal that ended it, None where that can't be known.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if reaped else None
    return None


async def terminate(pid: int) -> None:
    """End a process: SIGTERM, then SIGKILL after 5 seconds. Returns when it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_for_end(pid), 5.0)
            return


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _start_time(pid: int) -> int:
    """Return a process's start in clock ticks after boot, 0 if it has ended."""
    fields = _stat(pid)
    return 0 if not fields or fields[0] in "ZX" else int(fields[19])
