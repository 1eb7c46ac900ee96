"""Starts and rests machines that there are, by what each has to do (`plan.load`): services with a soft_limit.

State owned, in memory only: since when a machine has been in excess, and the work under way, one piece per app. After a
restart of roostd the times begin anew. Groups that are autoscaled are left awake: two masters would undo each other.
Order of going to sleep as in `sleeping`: out of the routes, its requests end, then it is frozen or stopped; if it has
some after DRAIN seconds, or the load is back, it serves on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.loads import CurrentLoads
from roost.control.rounds import repeat
from roost.control.routing import Routing
from roost.edge.contract import Load
from roost.host.sockets import connections_to
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.plan.idle import web_service
from roost.plan.load import in_excess, is_short, limited, whom_to_start

PERIOD = 1.0  # seconds between two looks
REST = 10  # times as long as a look took, where there are many apps
DRAIN = 60.0  # seconds that requests of a machine that goes to sleep may last
DRAIN_LOOK = 0.1


class Leveling:
    """Looks, on a period, and carries out what the plan says."""

    def __init__(self, core: Core, lifecycle: Lifecycle, routing: Routing, loads: CurrentLoads) -> None:
        self._core = core
        self._loads = loads
        self._lifecycle = lifecycle
        self._routing = routing
        self._excess: dict[str, float] = {}  # machine -> since when
        self._work: dict[str, asyncio.Task[None]] = {}
        self._scaled: set[tuple[str, str]] = set()  # app and group

    async def run(self, ready: asyncio.Event) -> None:
        """Look at all awake apps, for ever, once machines were recovered."""
        await ready.wait()
        await repeat(self.look, "levelling machines", every=PERIOD, rest=REST)

    async def look(self) -> None:
        """Look once."""
        running = self._core.store.machines.in_states(MachineState.STARTED)
        by_app: dict[str, list[Machine]] = defaultdict(list)
        for machine in running:
            if limited(machine) is not None:
                by_app[machine.app].append(machine)
        if not by_app:
            self._excess.clear()
            return
        reading = self._loads.read()
        if reading is None or reading.loads is None:
            return
        policies = await asyncio.to_thread(self._core.store.autoscale.policies)
        self._scaled = {(one.app, one.group) for one in policies if one.policy is not None}
        still: dict[str, float] = {}
        for app, machines in by_app.items():
            await self._look_at(app, machines, reading.loads.get(app, Load()), still)
        self._excess = still

    async def _look_at(self, app: str, running: Sequence[Machine], load: Load, still: dict[str, float]) -> None:
        now = self._core.now()
        if (task := self._work.get(app)) is not None and not task.done():
            return
        spread = _spread(load)
        if is_short(running, spread):  # rarely: the others are looked up only then
            machines = await asyncio.to_thread(self._core.store.machines.list, app)
            if (machine := whom_to_start(machines, spread, load.machines.keys())) is not None:
                self._work[app] = asyncio.create_task(self._start(machine))
            return
        for idle in in_excess(running, spread):
            if (app, idle.process_group) in self._scaled:  # how many run is autoscaling's affair
                continue
            since = still[idle.id] = max(self._excess.get(idle.id, now), idle.updated_at)
            service = web_service(idle)
            if service is not None and now - since >= service.idle_timeout:
                self._work[app] = asyncio.create_task(self._rest(idle, service.autostop))
                return

    async def _start(self, machine: Machine) -> None:
        log.info("all machines are above their soft_limit", app=machine.app, starts=machine.id)
        try:
            await asyncio.to_thread(self._lifecycle.bring_up, machine.id, source="proxy")
            await self._routing.sync(machine.app)
        except RoostError as error:
            log.warning("could not start another machine", machine=machine.id, error=error.message)

    async def _rest(self, machine: Machine, how: str) -> None:
        drowsy = self._routing.drowsy
        log.info("one machine more than needed", app=machine.app, machine=machine.id, how=how)
        drowsy.add(machine.id)
        try:
            await self._routing.sync(machine.app)
            if await self._drained(machine):
                await asyncio.to_thread(self._to_sleep, machine.id, how)
        except RoostError as error:
            log.warning("could not put to sleep", machine=machine.id, error=error.message)
        finally:
            drowsy.discard(machine.id)
            await self._routing.sync(machine.app)

    def _to_sleep(self, machine_id: str, how: str) -> None:
        act = self._lifecycle.suspend if how == "suspend" else self._lifecycle.stop
        act(machine_id, source="proxy", only_if=lambda: machine_id in self._routing.drowsy)

    async def _drained(self, machine: Machine) -> bool:
        """Wait until nobody has a connection to it; False when it is wanted again, or at the deadline."""
        service = web_service(machine)
        port = service.internal_port if service is not None else 0
        deadline = self._core.now() + DRAIN
        while True:
            left = await asyncio.to_thread(connections_to, machine.private_ipv4, port)
            if left == 0:
                return True
            if self._core.now() > deadline or machine.id not in self._routing.drowsy:
                return False
            await asyncio.sleep(DRAIN_LOOK)


def _spread(load: Load) -> Mapping[str, int]:
    """Return the requests by machine; those that wait for one count as if they were spread over them."""
    extra = -(-load.waiting // len(load.machines)) if load.machines else 0
    return {machine: count + extra for machine, count in load.machines.items()}
