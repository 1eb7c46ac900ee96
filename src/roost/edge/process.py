"""Envoy as a process that outlives roostd: started, adopted, watched, ended.

State: the pid file (pid and start time) and the bootstrap file below the edge's directory. Invariant:
at most one Envoy of this cloud runs. If roostd dies between starting Envoy and writing the pid file,
the next one finds it by its admin socket. An Envoy that ends is started again, with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from roost.edge.admin import Admin
from roost.edge.bootstrap import EdgeFiles, bootstrap, command
from roost.edge.confinement import confined, hand_over
from roost.model.errors import Conflict, HostFailure

Spawn = Callable[[Sequence[str], Path], int]  # argv, log file -> pid of a detached process in its own session

FIRST_PAUSE = 0.1  # seconds before an Envoy that ended is started again; doubles
LONGEST_PAUSE = 10.0
STEADY = 30.0  # seconds of life after which the pauses begin anew
READY_TIMEOUT = 10.0
DRAIN_TIMEOUT = 5.0


class EnvoyProcess:
    """The cloud's Envoy. `on_new` is called whenever a process begins whose state is empty."""

    def __init__(
        self,
        binary: Path,
        files: EdgeFiles,
        node: str,
        ports: Sequence[int],
        log: Path,
        spawn: Spawn,
        on_new: Callable[[], None],
    ) -> None:
        self.pid = 0
        self.adopted = False
        self.restarts = 0
        self.trouble = ""
        self._binary, self._files, self._node, self._ports, self._log = binary, files, node, ports, log
        self._spawn, self._on_new = spawn, on_new
        self._admin = Admin(files.admin)
        self._watcher: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Adopt the Envoy that runs or start one, and keep one running from now on.

        Raises Conflict when the port is taken, HostFailure when Envoy does not come up.
        """
        self.pid = await self._find()
        self.adopted = self.pid != 0
        if not self.pid:
            await self._start()
        self._watcher = asyncio.create_task(self._watch())

    async def release(self) -> None:
        """Stop watching; Envoy runs on."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None

    async def end(self) -> None:
        """Let requests under way finish for some seconds, then end Envoy. Does nothing when none runs."""
        await self.release()
        pid = self.pid or await self._find()
        if pid:
            with contextlib.suppress(HostFailure):
                await self._admin.drain()
                deadline = time.monotonic() + DRAIN_TIMEOUT
                while time.monotonic() < deadline and await self._admin.downstream_active() > 0:
                    await asyncio.sleep(0.05)
            await _terminate(pid)
        self.pid = 0
        for path in (self._files.pid, self._files.admin):
            path.unlink(missing_ok=True)

    async def _find(self) -> int:
        """Return the pid of this cloud's Envoy, 0 if none runs. One that is ours and does not answer is ended."""
        pid = _read_pid(self._files.pid)
        listening = self._admin.listener_pid()
        for candidate in dict.fromkeys((pid, listening)):
            if candidate and await self._admin.node() == self._node and self._admin.listener_pid() == candidate:
                self._write_pid(candidate)
                return candidate
        if pid:
            await _terminate(pid)
        return 0

    async def _start(self) -> None:
        for port, flag in zip(self._ports, ("--http-port", "--https-port"), strict=True):
            if port:
                check_port(port, flag)
        self._files.admin.unlink(missing_ok=True)
        configuration = json.dumps(bootstrap(self._node, self._files), indent=1)
        self._files.bootstrap.write_text(configuration)
        self._files.private.mkdir(exist_ok=True)
        hand_over(self._files.private)
        self._on_new()
        argv = confined(command(self._binary, self._files), reads=(self._binary, self._files.bootstrap))
        self.pid = self._spawn(argv, self._log)
        self._write_pid(self.pid)
        deadline = time.monotonic() + READY_TIMEOUT
        while await self._admin.node(timeout=1.0) != self._node:
            if time.monotonic() > deadline or not alive(self.pid):
                await _terminate(self.pid)
                self.pid = 0
                raise HostFailure("Envoy did not come up", hint=f"see {self._log}")
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        pause, began = FIRST_PAUSE, time.monotonic()
        while True:
            if self.pid:
                await _ended(self.pid)
                self.pid = 0
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
                self.trouble = str(error)

    def _write_pid(self, pid: int) -> None:
        fresh = self._files.pid.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": pid, "start": _start_time(pid)}))
        fresh.replace(self._files.pid)


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


def user_of(pid: int) -> int:
    """Return the user id that a process runs as, -1 if it has ended."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1


def _start_time(pid: int) -> int:
    """Return a process's start in clock ticks after boot, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _read_pid(path: Path) -> int:
    """Return the pid in the file if that very process still runs, else 0."""
    try:
        saved = json.loads(path.read_text())
        pid, start = int(saved["pid"]), int(saved["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if start and _start_time(pid) == start else 0


async def _ended(pid: int) -> None:
    """Wait for a process's end, its last thread included, so that its ports are free. It need not be a child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def _terminate(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_ended(pid), 5.0)
            return
