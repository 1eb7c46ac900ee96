"""Gives the memory of suspended machines back when the host runs short of it.

State: none. A machine that is stopped so starts from its image when it is next called; that is what "suspended"
promises at most. Each round looks anew, so a round that is cut short is gone on with by the next one.
"""

from __future__ import annotations

import asyncio

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.rounds import repeat
from roost.host.contract import RuntimeState
from roost.model.errors import RoostError
from roost.model.machine import MachineState
from roost.plan.pressure import Relief, Sleeper, is_short, relieve, reserve

PERIOD = 2.0  # seconds between two looks at the host's memory


class Pressure:
    """The watch over the host's memory. `kept_free` is bytes; 0 takes the plan's own reserve."""

    def __init__(self, core: Core, lifecycle: Lifecycle, *, kept_free: int = 0) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._kept_free = kept_free

    async def run(self) -> None:
        """Look for ever."""
        await repeat(lambda: asyncio.to_thread(self.look), "relieving the host's memory", every=PERIOD)

    def look(self) -> None:
        """Stop those suspended machines whose memory is needed, once."""
        available, total = self._core.host.memory()
        kept_free = self._kept_free or reserve(total)
        if not is_short(available, kept_free):
            return
        for relief in relieve(self._sleepers(), available=available, kept_free=kept_free):
            log.info("giving memory back", machine=relief.machine.id, app=relief.machine.app, reason=relief.reason)
            try:
                self._stop(relief)
            except RoostError as error:
                log.warning("could not stop a suspended machine", machine=relief.machine.id, error=error.message)

    def _stop(self, relief: Relief) -> None:
        machine_id = relief.machine.id

        def sleeps() -> bool:  # a request may have thawed it; what the row says comes a moment later
            return self._core.host.observe(machine_id).state is RuntimeState.FROZEN

        self._lifecycle.stop(machine_id, source="flyd", reason=relief.reason, only_if=sleeps)

    def _sleepers(self) -> list[Sleeper]:
        found = []
        for machine in self._core.store.machines.in_states(MachineState.SUSPENDED):
            try:
                found.append(Sleeper(machine, self._core.host.usage(machine.id).memory_bytes))
            except RoostError:  # it woke or went meanwhile
                continue
        return found
