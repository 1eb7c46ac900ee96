"""Which running machines answer: ports that accept connections, and health checks.

State owned: in memory only, by machine: whether its port was seen open, the latest result of each check, and
the tasks that look. Runs on the event loop. After a restart of roostd, machines that were serving count as
listening until a check says otherwise, so that adoption takes nobody out of the edge.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from roost.control.contract import CheckStatus
from roost.control.core import Core
from roost.edge.contract import Refusal
from roost.host.health import HealthState, HealthStatus, check, listens_on_loopback_only, wait_port
from roost.model.edge_errors import exit_code
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Check
from roost.plan.checks import aside, checks_of, speaks_http2
from roost.plan.idle import web_service

OPEN_SLICE = 10.0
LOOK = 0.25  # seconds between two looks at the machine's row while its port is closed
LOOPBACK_AFTER = 3.0  # seconds an app may listen on loopback only before it is told
PROBE = 10.0  # seconds a new release may take for its first answer, before it is asked again
WORKER_GRACE = 1.0  # seconds a machine without ports and checks must live to count as healthy
EXITS_FORGIVEN = 2  # an app may need its database first


@dataclass
class _Watched:
    machine: Machine
    pid: int
    listening: bool = False
    checks: dict[str, HealthState] = field(default_factory=dict)
    asleep: bool = False
    silent: str = ""  # why an open port is no answer by HTTP
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Readiness:
    """Looks at the machines that run."""

    def __init__(
        self, core: Core, on_change: Callable[[str], None], of_containers: Callable[[str], list[CheckStatus]]
    ) -> None:
        """`on_change` is told the app's name, on the loop, when one of its machines became ready or unready.

        `of_containers` gives the checks of a machine's containers, which count as its own.
        """
        self._core = core
        self._on_change = on_change
        self._of_containers = of_containers
        self._watched: dict[str, _Watched] = {}

    def came_up(self, machine: Machine, pid: int, *, adopted: bool = False) -> None:
        """Begin to look at a machine; on the loop."""
        before = self._watched.get(machine.id)
        same_run = before is not None and before.pid == pid
        self.went_down(machine.id, forget=False)
        watched = _Watched(machine, pid)
        if before is not None and same_run:
            watched.listening, watched.checks = before.listening, before.checks
            if before.asleep:  # what failed before it slept has all its time again
                watched.checks = {n: replace(s, changed_at=self._core.now()) for n, s in before.checks.items()}
        watched.listening = watched.listening or adopted
        self._watched[machine.id] = watched
        if web_service(machine) is not None and not watched.listening:
            self._spawn(watched, self._until_open(watched))
        for name, spec in checks_of(machine.config).items():
            watched.checks.setdefault(name, HealthState.start(self._core.now()))
            self._spawn(watched, self._keep_checking(watched, name, spec))
        if watched.listening:
            self._on_change(machine.app)

    def went_down(self, machine_id: str, *, forget: bool = True) -> None:
        """Look no more; on the loop. One that only sleeps is not forgotten."""
        watched = self._watched.get(machine_id)
        if watched is None:
            return
        for task in watched.tasks:
            task.cancel()
        watched.tasks.clear()
        if forget:
            del self._watched[machine_id]

    def fell_asleep(self, machine_id: str) -> None:
        """Look no more until it comes up: frozen, it fails all checks. What was seen holds: its port opens with it."""
        self.went_down(machine_id, forget=False)
        if (watched := self._watched.get(machine_id)) is not None:
            watched.asleep = True

    def is_ready(self, machine: Machine) -> bool:
        """True when its port accepts connections and no check that steers requests is critical."""
        watched = self._watched.get(machine.id)
        if watched is None:
            return False
        return watched.listening and not any(
            c.status == HealthStatus.CRITICAL and c.name not in aside(watched.machine.config, steering=True)
            for c in self.checks(machine.id)
        )

    def was_listening(self, machine: Machine) -> bool:
        """True when its port was open before it was suspended: it is again, as soon as it runs."""
        watched = self._watched.get(machine.id)
        return watched is not None and watched.listening

    def checks(self, machine_id: str) -> list[CheckStatus]:
        """Return the latest result of each check, its containers' too."""
        watched = self._watched.get(machine_id)
        states = watched.checks if watched else {}
        own = [CheckStatus(name, s.status, s.output, s.checked_at or s.started_at) for name, s in states.items()]
        return own + self._of_containers(machine_id)

    def lacks(self, machine_id: str) -> str:
        """Say in a line what a machine lacks to be healthy, as far as is known: its port, or a check; "": nothing."""
        watched = self._watched.get(machine_id)
        if watched is None:
            return ""
        service = web_service(watched.machine)
        if service is not None and not watched.listening:
            return f"it does not listen on port {service.internal_port} yet"
        if watched.silent:
            return f"it does not answer HTTP yet: {watched.silent}"
        return next(iter(_failing(watched.machine, self.checks(machine_id))), "")

    def withheld(self, machine: Machine) -> str:
        """Say in a line why a machine that runs gets no requests as far as this tells, "" if it does."""
        watched = self._watched.get(machine.id)
        service = web_service(machine)
        if watched is None or service is None:
            return ""
        if not watched.listening:
            port = service.internal_port
            if watched.pid and listens_on_loopback_only(watched.pid, port):
                return f"it listens on 127.0.0.1:{port} only, not on 0.0.0.0"
            return f"it does not listen on port {port} yet"
        told = aside(machine.config, steering=True)
        failing = [c for c in self.checks(machine.id) if c.status == HealthStatus.CRITICAL and c.name not in told]
        return f"it fails its check {failing[0].name}: {' '.join(failing[0].output.split())}" if failing else ""

    async def until_listening(self, machine: Machine, timeout: float) -> Refusal | None:
        """Wait until its port accepts connections; return why not when it exits, or at the deadline."""

        async def listening(watched: _Watched) -> bool:
            return watched.listening

        return await self._until(machine, timeout, listening, cancelled=lambda: False, exits=0)

    async def until_ready(self, machine: Machine, timeout: float) -> Refusal | None:
        """Wait until it may get requests: it listens, and no check that steers them fails. Return why not.

        A check gets `timeout` seconds from when it began to fail, however often one waits for it.
        """

        async def ready(_watched: _Watched) -> bool:
            return self.is_ready(machine)

        watched = self._watched.get(machine.id)
        told = aside(machine.config, steering=True)
        checks = watched.checks if watched else {}
        if watched is not None and watched.asleep:
            checks = {}  # it was woken a moment ago
        since = [s.changed_at for n, s in checks.items() if s.status is HealthStatus.CRITICAL and n not in told]
        left = max(0.0, timeout - (self._core.now() - min(since))) if since else timeout
        return await self._until(machine, left, ready, cancelled=lambda: False, exits=0)

    def fails(self, machine: Machine) -> bool:
        """True when it listens and a check that steers requests is critical."""
        return self.was_listening(machine) and not self.is_ready(machine)

    async def until_healthy(self, machine: Machine, timeout: float, *, cancelled: Callable[[], bool]) -> Refusal | None:
        """Wait until it listens, all deciding checks passed once and HTTP is answered, whatever with; return why not.

        A server may listen before its workers know whether the app can be loaded: an open port is not enough.
        """

        async def healthy(watched: _Watched) -> bool:
            service = web_service(watched.machine)
            checks = self.checks(machine.id)
            if service is None and not checks:
                return self._core.now() - watched.machine.updated_at >= WORKER_GRACE
            if service is not None and not watched.listening:
                return False
            told = aside(watched.machine.config)
            if not all(c.status == HealthStatus.PASSING or c.name in told for c in checks):
                return False
            if service is None or not any("http" in port.handlers for port in service.ports):
                return True
            port = service.internal_port
            probe = Check(port, type="http", timeout=PROBE, http2=speaks_http2(watched.machine.config, port))
            found = await check(probe, watched.machine.private_ipv4)
            watched.silent = "" if found.speaks_http else found.output
            return not watched.silent

        return await self._until(machine, timeout, healthy, cancelled=cancelled, exits=EXITS_FORGIVEN)

    async def _until(
        self,
        machine: Machine,
        timeout: float,
        reached: Callable[[_Watched], Awaitable[bool]],
        *,
        cancelled: Callable[[], bool],
        exits: int,
    ) -> Refusal | None:
        began = self._core.now()
        loopback_since = 0.0
        with self._core.changes.watching(f"machine:{machine.id}") as news:
            while not cancelled():
                watched = self._watched.get(machine.id)
                if watched is not None and await reached(watched):
                    return None
                row = self._core.store.machines.find(machine.id)
                if row is None or row.state in (MachineState.DESTROYING, MachineState.STOPPING):
                    return Refusal(503, "app", "stopped", f"{machine.app} was stopped meanwhile.")
                if row.state is MachineState.FAILED or row.restarts - machine.restarts > exits:
                    return _exited(row)
                if row.state is MachineState.STOPPED and row.desired is not MachineState.STARTED:
                    return _exited(row)
                now = self._core.now()
                loopback = watched is not None and not watched.listening and await self._only_loopback(watched)
                loopback_since = (loopback_since or now) if loopback else 0.0
                if loopback and now - loopback_since > LOOPBACK_AFTER:
                    return _loopback(row)
                if now - began > timeout:
                    return _not_listening(row, watched, self.checks(machine.id), timeout)
                await news(LOOK)
        return Refusal(503, "none", "cancelled", "The wait was cancelled.")

    @staticmethod
    async def _only_loopback(watched: _Watched) -> bool:
        service = web_service(watched.machine)
        if service is None or not watched.pid:
            return False
        return await asyncio.to_thread(listens_on_loopback_only, watched.pid, service.internal_port)

    async def _until_open(self, watched: _Watched) -> None:
        machine = watched.machine
        service = web_service(machine)
        if service is None:
            return
        if service.protocol == "tcp":  # nothing tells whether somebody takes datagrams
            while not await wait_port(machine.private_ipv4, service.internal_port, time.monotonic() + OPEN_SLICE):
                pass
        watched.listening = True
        self._core.changes.notify(f"machine:{machine.id}")
        self._on_change(machine.app)

    async def _keep_checking(self, watched: _Watched, name: str, spec: Check) -> None:
        while True:
            before = watched.checks[name]
            await asyncio.sleep(before.next_at(spec) - self._core.now())
            result = await check(spec, watched.machine.private_ipv4)
            after = watched.checks[name] = before.observe(spec, result, self._core.now())
            if after.status is not before.status:
                self._core.changes.notify(f"machine:{watched.machine.id}")
                self._on_change(watched.machine.app)

    @staticmethod
    def _spawn(watched: _Watched, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        watched.tasks.add(task)
        task.add_done_callback(watched.tasks.discard)


def _exited(machine: Machine) -> Refusal:
    how = machine.last_exit.describe() if machine.last_exit else "could not be started"
    return Refusal(
        502,
        "app",
        exit_code(machine.last_exit),
        f"{machine.app} {how}.",
        f"See its last words: roost logs -a {machine.app}",
    )


def _loopback(machine: Machine) -> Refusal:
    service = web_service(machine)
    port = service.internal_port if service else 0
    return Refusal(
        502,
        "app",
        "app_listens_on_loopback",
        f"{machine.app} listens on 127.0.0.1:{port} only, where nobody outside the machine can reach it.",
        f"Let it listen on 0.0.0.0:{port} (the port is in $PORT).",
    )


def _not_listening(machine: Machine, watched: _Watched | None, checks: list[CheckStatus], timeout: float) -> Refusal:
    service = web_service(machine)
    failing = _failing(machine, checks)
    if watched is not None and watched.listening and failing:
        return Refusal(
            503, "app", "app_check_failing", f"{machine.app} fails its {failing[0]}.",
            f"Fix the check or the app. Its log: roost logs -a {machine.app}; "
            f"what the checks of machines that run find: roost checks list -a {machine.app}",
        )  # fmt: skip
    port = service.internal_port if service else 0
    if watched is not None and watched.listening and watched.silent:
        return Refusal(
            502, "app", "app_silent", f"{machine.app} listens on port {port}, but answers no HTTP: {watched.silent}.",
            f"See its log: roost logs -a {machine.app}",
        )  # fmt: skip
    return Refusal(
        502,
        "app",
        "app_not_listening",
        f"{machine.app} runs, but has not listened on port {port} within {timeout:g} s.",
        f"Let it listen on 0.0.0.0:$PORT, or set internal_port in roost.toml. Its log: roost logs -a {machine.app}",
    )


def _failing(machine: Machine, checks: list[CheckStatus]) -> list[str]:
    """Name the checks that count and do not pass, each with what it found, in a line."""
    told = aside(machine.config)
    return [
        f"check {one.name}: {' '.join(one.output.split())}"
        for one in checks
        if one.status != HealthStatus.PASSING and one.name not in told
    ]
