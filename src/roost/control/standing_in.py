"""Starts standbys when the machines they stand by for can't run any more, and stops them when one runs again.

State owned: none: each look decides (`plan.standbys`) from the rows and events of now, on news of a machine that
failed or runs and on a period. Killed anywhere, the next look does what is left.
"""

from __future__ import annotations

import asyncio

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.machine_rows import MachineRows
from roost.model.errors import RoostError
from roost.model.machine import MachineState
from roost.plan.standbys import Step, fate_of, next_step, started_by_hand
from roost.store.machines import EVENTS_KEPT

PERIOD = 5.0  # seconds
PAUSE = 0.2  # seconds between two looks at the least
TOPIC = "standbys"  # news that a machine has failed, or runs


class StandingIn:
    """The watch over standbys."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._rows = MachineRows(core)

    async def run(self, ready: asyncio.Event) -> None:
        """Look after standbys, for ever, from when machines have been recovered."""
        await ready.wait()
        with self._core.changes.watching(TOPIC) as news:
            while True:
                wait = PERIOD
                try:
                    wait = await asyncio.to_thread(self.look)
                except Exception:
                    log.exception("looking after standbys failed")
                await asyncio.sleep(PAUSE)
                await news(wait)

    def look(self) -> float:
        """See to all standbys once; return how many seconds there are until the next look."""
        wait = PERIOD
        for standby in self._core.store.machines.standbys():
            try:
                step = self._see_to(standby.id)
            except RoostError as error:
                log.warning("a standby could not be seen to", machine=standby.id, error=error.message)
                continue
            if step.look_at is not None:
                wait = min(wait, max(0.0, step.look_at - self._core.now()))
        return wait

    def _see_to(self, standby_id: str) -> Step:
        core = self._core
        with core.locks.holding(standby_id):
            standby = core.store.machines.find(standby_id)
            if standby is None:
                return Step()
            primaries = []
            for machine_id in standby.config.standbys:
                machine = core.store.machines.find(machine_id)
                events = core.store.events.list(machine_id, EVENTS_KEPT) if machine is None else ()
                primaries.append(fate_of(machine_id, machine, events))
            by_hand = started_by_hand(core.store.events.list(standby_id, EVENTS_KEPT))
            step = next_step(standby, primaries, by_hand=by_hand, now=core.now())
            if step.act:
                log.info("standby", machine=standby_id, act=step.act, reason=step.reason)
            if step.act == "start":
                detail: dict[str, object] = {"reason": step.reason, "standing_in": True}
                changes = {"desired": MachineState.STARTED, "restarts": 0}
                self._rows.record(standby, MachineState.STARTING, "start", "flyd", detail=detail, **changes)
                core.fault("machine.standby.recorded")
                self._lifecycle.bring_up(standby_id, source="flyd")
            elif step.act == "stop":
                self._lifecycle.stop(standby_id, source="flyd", reason=step.reason)
            return step
