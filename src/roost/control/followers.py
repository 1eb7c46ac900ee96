"""Those who follow machines' changes: readiness and routes on the loop, and a watch on each main process.

State owned: a pidfd per running machine, or per container of one (closed when it goes down). A pidfd tells of
the exit at once and without polling, also for processes that are not our children; the sweep looks again on a
period, in case one was missed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from roost.control.container_health import ContainerHealth
from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.readiness import Readiness
from roost.control.rounds import repeat
from roost.control.routing import Routing
from roost.host.sockets import connections_to
from roost.model.containers import parts_of
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState

SWEEP = 5.0  # seconds between two looks at all running machines
DRAIN = 30.0  # seconds that connections of a machine that goes may last
DRAIN_LOOK = 0.02


class Followers:
    """Implements the lifecycle's `Observer`. Methods may be called from any thread."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self.container_health = ContainerHealth(core, self._health_changed, self._unhealthy)
        self.readiness = Readiness(core, self._changed, self.container_health.checks)
        self.routing = Routing(core, self.readiness)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pidfds: dict[str, int] = {}
        self._looking: dict[str, bool] = {}  # machines that are being looked at -> whether to look again after that
        self._of_containers: dict[str, dict[int, int]] = {}  # machine -> pid -> pidfd
        lifecycle.containers.attach(self)
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
        if parts_of(machine.config):  # watched one by one: see containers_run
            return
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

    def containers_run(self, machine: Machine, running: Mapping[str, int]) -> None:
        """Watch these containers (name -> pid) of a machine, and no others."""
        self._call(self._watch_containers, machine, dict(running))

    def healthy(self, machine_id: str) -> set[str]:
        """Return the containers all of whose health checks pass."""
        return self.container_health.healthy(machine_id)

    def _watch_containers(self, machine: Machine, running: dict[str, int]) -> None:
        loop, watched = asyncio.get_running_loop(), self._of_containers.setdefault(machine.id, {})
        for pid in set(watched) - set(running.values()):
            loop.remove_reader(watched[pid])
            os.close(watched.pop(pid))
        for pid in set(running.values()) - set(watched):
            try:
                watched[pid] = os.pidfd_open(pid)
            except OSError:
                self._look(machine.id)
            else:
                loop.add_reader(watched[pid], self._container_exited, machine.id, pid)
        if not watched:
            del self._of_containers[machine.id]
        self.container_health.follow(machine, running)

    def _container_exited(self, machine_id: str, pid: int) -> None:
        descriptor = self._of_containers.get(machine_id, {}).pop(pid, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._look(machine_id)

    def _look(self, machine_id: str) -> None:
        """Look at a machine's containers, from now on; one thread per machine, since one that stops holds its lock."""
        if machine_id in self._looking:
            self._looking[machine_id] = True
        else:
            self._looking[machine_id] = False
            self._spawn(self._keep_looking(machine_id))

    async def _keep_looking(self, machine_id: str) -> None:
        try:
            again = True
            while again:
                self._looking[machine_id] = False
                await asyncio.to_thread(self._look_at_exit, machine_id)
                again = self._looking[machine_id]
        finally:
            del self._looking[machine_id]

    def _health_changed(self, machine: Machine) -> None:
        self._look(machine.id)
        self._changed(machine.app)

    def _unhealthy(self, machine_id: str, container: str) -> None:
        def end() -> None:
            try:
                self._lifecycle.end_container(machine_id, container)
            except RoostError as error:
                log.warning("could not end a container", machine=machine_id, error=error.message)

        self._spawn(asyncio.to_thread(end))

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
        ports = {service.internal_port for service in machine.config.services if service.protocol == "tcp"}
        if not machine.config.services:
            return
        self._core.on_loop(self.routing.sync(machine.app))
        deadline = self._core.now() + DRAIN
        self._core.on_loop(self._drained(machine.private_ipv4, ports, deadline), DRAIN + 10)

    async def _drained(self, address: str, ports: Iterable[int], deadline: float) -> None:
        while any(connections_to(address, port) for port in ports) and self._core.now() < deadline:
            await asyncio.sleep(DRAIN_LOOK)

    def fell_asleep(self, machine: Machine) -> None:
        """Check it no more until it comes up; its process is still watched."""
        self._call(self.readiness.fell_asleep, machine.id)

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
        await repeat(self._sweep_once, "the sweep", every=SWEEP)

    async def _sweep_once(self) -> None:
        up = self._core.store.machines.in_states(MachineState.STARTED, MachineState.SUSPENDED)
        for machine in up:
            if machine.id not in self._pidfds and not parts_of(machine.config):
                await asyncio.to_thread(self._look_at_exit, machine.id)
        for machine in [*up, *self._core.store.machines.in_states(MachineState.STARTING)]:
            if parts_of(machine.config):
                self._look(machine.id)
        for app in self.routing.outdated(up):
            await self.routing.sync(app)

    def close(self) -> None:
        """Watch no more; on the loop."""
        for machine_id in list(self._pidfds):
            self._unwatch(machine_id)
        for watched in self._of_containers.values():
            for descriptor in watched.values():
                asyncio.get_running_loop().remove_reader(descriptor)
                os.close(descriptor)
        self._of_containers.clear()
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
