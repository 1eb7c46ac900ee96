"""Puts apps to sleep that nobody calls.

What the edge knows of requests under way may be a second old, so Envoy is asked before anything is done. Order, so that
no request is lost: the machine becomes drowsy and leaves the edge's table (acknowledged by Envoy), requests under way
end, then it is frozen or stopped. A request that comes in between goes to the
activator; the wake takes the machine out of the drowsy set, which the lifecycle asks for at the last moment.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.rounds import repeat
from roost.control.routing import Routing
from roost.control.tunnels import Tunnels
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.plan.idle import Nap, who_sleeps

DRAIN = 10.0  # seconds: longer requests keep the app awake


class Sleeping:
    """Decides who sleeps, on a period, and carries it out."""

    def __init__(
        self,
        core: Core,
        lifecycle: Lifecycle,
        routing: Routing,
        tunnels: Tunnels,
        awaited: Callable[[str], bool],
        *,
        period: float = 1.0,
    ) -> None:
        """`awaited` says whether somebody waits for an app to come up."""
        self._core = core
        self._lifecycle = lifecycle
        self._routing = routing
        self._tunnels = tunnels
        self._awaited = awaited
        self._period = period

    async def run(self) -> None:
        """Look at all awake apps, for ever."""
        await repeat(self.look, "putting apps to sleep", every=self._period)

    async def look(self) -> None:
        """Put those to sleep that should be, once."""
        by_app: dict[str, list[Machine]] = defaultdict(list)
        for machine in self._core.store.machines.in_states(MachineState.STARTED):
            by_app[machine.app].append(machine)
        for app, machines in by_app.items():
            traffic = self._core.edge.traffic(app)
            nap = who_sleeps(
                machines,
                active=traffic.active + self._tunnels.open_to(app),
                last_request_at=max(traffic.last_request_at, self._tunnels.last_used(app)),
                now=self._core.now(),
            )
            if (
                nap.machines
                and nap.how != "off"
                and not self._awaited(app)
                and not await self._core.edge.has_requests(app)
            ):
                await self._put_to_sleep(app, nap)

    async def _put_to_sleep(self, app: str, nap: Nap) -> None:
        drowsy = self._routing.drowsy
        ids = {machine.id for machine in nap.machines}
        log.info("going to sleep", app=app, machines=sorted(ids), how=nap.how, reason=nap.reason)
        drowsy |= ids
        try:
            await self._routing.sync(app)
            if not await self._core.edge.drained(app, timeout=DRAIN):
                return
            for machine_id in ids & drowsy:
                await asyncio.to_thread(self._one, machine_id, nap.how)
        except RoostError as error:
            log.warning("could not put to sleep", app=app, error=error.message)
        finally:
            drowsy -= ids
            await self._routing.sync(app)

    def _one(self, machine_id: str, how: str) -> None:
        act = self._lifecycle.suspend if how == "suspend" else self._lifecycle.stop
        act(machine_id, source="proxy", only_if=lambda: machine_id in self._routing.drowsy)
