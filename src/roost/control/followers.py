"""Those who follow machines' changes: readiness and routes on the loop, and a watch on each main process.

State owned: a pidfd per running machine (closed when it goes down). A pidfd tells of the exit at once and
without polling, also for processes that are not our children; the sweep looks again on a period, in case
one was missed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.readiness import Readiness
from roost.control.routing import Routing
from roost.host.sockets import connections_to
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.plan.idle import web_service

SWEEP = 5.0  # seconds between two looks at all running machines
DRAIN = 30.0  # seconds that connections of a machine that goes may last
DRAIN_LOOK = 0.02


class Followers:
    """Implements the lifecycle's `Observer`. Methods may be called from any thread."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self.readiness = Readiness(core, self._changed)
        self.routing = Routing(core, self.readiness)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pidfds: dict[str, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop to work on."""
        self._loop = loop

    def came_up(self, machine: Machine, pid: int) -> None:
        """Watch its process and its port."""
        self._call(self._watch, machine, pid, False)

    def adopted(self, machine: Machine, pid: int) -> None:
        """Watch a machine that ran before roostd did."""
        self._call(self._watch, machine, pid, True)

    def _watch(self, machine: Machine, pid: int, adopted: bool) -> None:
        self._unwatch(machine.id)
        self.readiness.came_up(machine, pid, adopted=adopted)
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            self._exited(machine.id)
            return
        self._pidfds[machine.id] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._exited, machine.id)

    def _unwatch(self, machine_id: str) -> None:
        descriptor = self._pidfds.pop(machine_id, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _exited(self, machine_id: str) -> None:
        self._unwatch(machine_id)
        self._spawn(asyncio.to_thread(self._look_at_exit, machine_id))

    def _look_at_exit(self, machine_id: str) -> None:
        try:
            self._lifecycle.exited(machine_id)
        except RoostError as error:
            log.warning("could not look at an exit", machine=machine_id, error=error.message)

    def going_down(self, machine: Machine) -> None:
        """Take it out of the edge and wait until the host has no connection to it any more, or DRAIN seconds."""
        service = web_service(machine)
        if service is None:
            return
        self._core.on_loop(self.routing.sync(machine.app))
        deadline = self._core.now() + DRAIN
        self._core.on_loop(self._drained(machine.private_ipv4, service.internal_port, deadline), DRAIN + 10)

    async def _drained(self, address: str, port: int, deadline: float) -> None:
        while connections_to(address, port) and self._core.now() < deadline:
            await asyncio.sleep(DRAIN_LOOK)

    def went_down(self, machine: Machine) -> None:
        """Forget it, and bring the edge's table up to date."""
        self._call(self._forget, machine)

    def _forget(self, machine: Machine) -> None:
        self._unwatch(machine.id)
        self.readiness.went_down(machine.id)
        self._changed(machine.app)

    def later(self, delay: float, work: Callable[[], object]) -> None:
        """Run `work` in a thread after `delay` seconds."""
        self._call(self._delayed, delay, work)

    def _delayed(self, delay: float, work: Callable[[], object]) -> None:
        async def wait_and_work() -> None:
            await asyncio.sleep(delay)
            await asyncio.to_thread(work)

        self._spawn(wait_and_work())

    def _changed(self, app: str) -> None:
        self._spawn(self.routing.sync(app))

    async def sweep(self) -> None:
        """Look at all machines that should run, for ever: exits that were missed, routes that failed."""
        while True:
            await asyncio.sleep(SWEEP)
            try:
                up = self._core.store.machines.in_states(MachineState.STARTED, MachineState.SUSPENDED)
                for machine in up:
                    if machine.id not in self._pidfds:
                        await asyncio.to_thread(self._look_at_exit, machine.id)
                for app in self.routing.outdated(up):
                    await self.routing.sync(app)
            except Exception:
                log.exception("sweep failed")

    def close(self) -> None:
        """Watch no more; on the loop."""
        for machine_id in list(self._pidfds):
            self._unwatch(machine_id)
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", error=repr(error))

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
