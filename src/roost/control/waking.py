"""Answers the edge: which machine serves a request that Envoy has no route for.

State owned: the wakes under way, one per app or wanted machine; requests for the same join. A wake that fails is not
remembered: the next request asks again (`plan.wake` bounds how often a broken app is tried).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.readiness import Readiness
from roost.control.routing import Routing
from roost.edge.contract import Endpoint, Refusal, WakeResult
from roost.host.health import wait_port
from roost.model.app import ReleaseState
from roost.model.errors import BadInput, RoostError
from roost.model.machine import Machine, MachineState
from roost.plan.idle import web_service
from roost.plan.public_ports import http_service, service_of
from roost.plan.wake import Refuse, whom_to_wake

WAKE_DEADLINE = 60.0  # seconds from the request to the first accepted connection
LISTEN_DEADLINE = WAKE_DEADLINE - 2.0  # seconds: who does not listen by then is told so, before time is up for all
CHECK_PATIENCE = 10.0  # seconds that a check may fail before requests are refused
AFTER_WAKE = 0.01  # seconds in which the request that woke an app has the event loop for itself


class Waking:
    """Brings apps up for requests. Implements the edge's `Waker`."""

    def __init__(self, core: Core, lifecycle: Lifecycle, readiness: Readiness, routing: Routing) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._readiness = readiness
        self._routing = routing
        self._under_way: dict[str, asyncio.Task[WakeResult]] = {}
        self._awaited: Counter[str] = Counter()  # app -> wakes under way
        self._background: set[asyncio.Task[object]] = set()

    async def wake(self, host: str) -> WakeResult:
        """Bring the app behind `host` to where one of its machines accepts connections."""
        app = self._routing.app_of(host)
        if app is None:
            return _no_such_app(host)
        return await self._joined(f"{app} by http", app, lambda: self._wake(app, http=True))

    async def wake_port(self, app: str, protocol: str, port: int) -> WakeResult:
        """Bring the app to where one of its machines accepts connections for this port of the cloud."""
        result = await self._joined(app, app, lambda: self._wake(app))
        if result.endpoint is None:
            return result
        machine = self._core.store.machines.find(result.endpoint.machine_id)
        service = service_of(machine, (protocol, port)) if machine else None
        if service is None:
            return _refuse(503, "app", "no_service", f"The machine of {app} that is up does not serve port {port}.", "")
        endpoint = replace(result.endpoint, port=service.internal_port)
        deadline = asyncio.get_running_loop().time() + CHECK_PATIENCE
        if protocol != "udp" and not await wait_port(endpoint.address, endpoint.port, deadline):
            return _refuse(
                502,
                "app",
                "app_not_listening",
                f"{app} does not listen on port {endpoint.port}.",
                f"roost logs -a {app}",
            )
        return replace(result, endpoint=endpoint)

    async def rouse(self, machine: Machine) -> WakeResult:
        """Bring this machine up, whatever others of its app run."""
        return await self._joined(machine.id, machine.app, lambda: self._bring(machine))

    async def _joined(self, key: str, app: str, work: Callable[[], Coroutine[Any, Any, WakeResult]]) -> WakeResult:
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._bounded(app, work))
            self._under_way[key] = task
            task.add_done_callback(lambda _task: self._under_way.pop(key, None))
        result = await asyncio.shield(task)
        known = result.refusal is None or result.refusal.code != "no_such_app"
        return replace(result, app=app) if known else result

    async def _bounded(self, app: str, work: Callable[[], Coroutine[Any, Any, WakeResult]]) -> WakeResult:
        self._awaited[app] += 1
        try:
            async with asyncio.timeout(WAKE_DEADLINE):
                return await work()
        except TimeoutError:
            return _refuse(
                503,
                "cloud",
                "wake_timeout",
                f"{app} could not be woken within {WAKE_DEADLINE:.0f} s.",
                f"roost logs -a {app}",
            )
        except BadInput as error:
            return _refuse(502, "app", "app_cannot_start", error.message, error.hint)
        except RoostError as error:
            return _refuse(503, "cloud", "wake_failed", error.message, error.hint)
        except Exception:
            log.exception("wake failed", app=app)
            return _refuse(
                503, "cloud", "wake_failed", f"Waking {app} failed.", "See HOME/log/roostd.log on the server."
            )
        finally:
            self._awaited -= Counter((app,))  # and no key of those that nobody waits for

    def awaited(self, app: str) -> bool:
        """True while somebody waits for a machine of the app to come up: it is not idle then."""
        return self._awaited[app] > 0

    async def _wake(self, app: str, *, http: bool = False) -> WakeResult:
        machines = self._core.store.machines.list(app)
        if not machines and self._core.store.apps.find(app) is None:
            return _no_such_app(self._core.cloud.app_host(app))
        if http and machines and not any(map(http_service, machines)) and any(m.config.services for m in machines):
            return _refuse(
                503, "app", "no_service", f"{app} serves no HTTP, only ports of its own.",
                "Add the handler http to a port of its services, or call those ports.",
            )  # fmt: skip
        choice = whom_to_wake(
            app,
            machines,
            release_failure=self.release_failure(app, machines),
            now=self._core.now(),
            failing=self.failing(machines),
            released=not machines and self._released(app),
        )
        if isinstance(choice, Refuse):
            return _refuse(choice.status, choice.fault, choice.code, choice.message, choice.hint)
        return await self._bring(choice.machine)

    async def _bring(self, machine: Machine) -> WakeResult:
        app = machine.app
        self._routing.drowsy.discard(machine.id)
        service = http_service(machine) or web_service(machine)
        result = WakeResult(
            endpoint=Endpoint(machine.id, machine.private_ipv4, service.internal_port if service else 0),
            app=app,
            force_https=service is not None and any(port.force_https for port in service.ports),
            hard_limit=service.hard_limit if service else 0,
        )
        resumable = machine.state is MachineState.SUSPENDED and self._readiness.was_listening(machine)
        if resumable and await asyncio.to_thread(self._lifecycle.thaw, machine.id):
            self._in_background(self._record_resume(machine))
            return result
        if machine.state is not MachineState.STARTED or not self._readiness.is_ready(machine):
            machine = await asyncio.to_thread(self._lifecycle.bring_up, machine.id, source="proxy")
            problem = await self._readiness.until_listening(machine, LISTEN_DEADLINE)
            if problem is None:
                problem = await self._readiness.until_ready(machine, CHECK_PATIENCE)
            if problem is not None:
                return WakeResult(refusal=problem)
        self._in_background(self._routing.sync(app))
        return result

    async def _record_resume(self, machine: Machine) -> None:
        """Write down that the machine runs, and route to it; the waiting request goes first."""
        await asyncio.sleep(AFTER_WAKE)
        await asyncio.to_thread(self._lifecycle.bring_up, machine.id, source="proxy")
        await self._routing.sync(machine.app)

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("after a wake", error=repr(error))

    def failing(self, machines: list[Machine]) -> set[str]:
        """Return the ids of those that run and fail a check that steers requests."""
        return {m.id for m in machines if m.state is MachineState.STARTED and self._readiness.fails(m)}

    def release_failure(self, app: str, machines: list[Machine]) -> str:
        """Return why an app without machines has none, "" if not because its latest release failed."""
        if machines:
            return ""
        releases = self._core.store.releases.list(app)
        return releases[0].reason if releases and releases[0].state is ReleaseState.FAILED else ""

    def _released(self, app: str) -> bool:
        return any(r.state is ReleaseState.COMPLETE for r in self._core.store.releases.list(app))


def _no_such_app(host: str) -> WakeResult:
    return _refuse(404, "none", "no_such_app", f"There is no app at {host[:200]}.", "`roost apps list` shows the apps.")


def _refuse(status: int, fault: str, code: str, message: str, hint: str) -> WakeResult:
    return WakeResult(refusal=Refusal(status, fault, code, message, hint))
