"""Starts scheduled machines when their time has come, and answers what their runs were.

State owned: in memory, which machines are being seen to. When a machine is due next and its runs are rows of the
store. What happens at a time, and the time after it, are written in one transaction before anything is started:
killed before it, the time is still due; killed after it, `Lifecycle.recover` goes on with the start. So no time has
two runs. While nobody looks, times pass; one run catches up on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.model.app import Event
from roost.model.errors import RoostError
from roost.model.machine import MachineState, check_transition
from roost.model.run import Run
from roost.plan.schedule import begun, due, skipped

LOOKS = 5.0  # seconds between two looks at the least: the clock may jump
AT_ONCE = 8  # machines started at the same time
HEAD = 100  # machines looked at in one go
TOPIC = "schedules"  # news that a machine's next time has changed


class Scheduling:
    """The clock of scheduled machines."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self, ready: asyncio.Event) -> None:
        """Look after what is due, for ever, from when machines have been recovered: only then their runs are known."""
        await ready.wait()
        turns = asyncio.Semaphore(AT_ONCE)
        try:
            with self._core.changes.watching(TOPIC) as news:
                while True:
                    try:
                        wait = await self._look(turns)
                    except Exception:
                        log.exception("looking at schedules failed")
                        wait = 1.0
                    await news(wait)
        finally:
            for task in self._busy.values():
                task.cancel()

    async def _look(self, turns: asyncio.Semaphore) -> float:
        """See to what is due; return how many seconds there are until something is."""
        head = await asyncio.to_thread(self._core.store.machines.scheduled, HEAD + len(self._busy))
        now = self._core.now()
        for machine_id, at in head:
            if at > now:
                return min(at - now, LOOKS)
            if machine_id not in self._busy:
                task = asyncio.get_running_loop().create_task(self._see_to(machine_id, turns))
                self._busy[machine_id] = task
                task.add_done_callback(lambda _, key=machine_id: self._seen(key))  # type: ignore[misc]
        return LOOKS

    def _seen(self, machine_id: str) -> None:
        del self._busy[machine_id]
        self._core.changes.notify(TOPIC)

    async def _see_to(self, machine_id: str, turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                await asyncio.to_thread(self.take_turn, machine_id)
            except RoostError as error:
                log.warning("a scheduled machine could not be started", machine=machine_id, error=error.message)
            except Exception:
                log.exception("a scheduled machine could not be started", machine=machine_id)
                await asyncio.sleep(1.0)

    def take_turn(self, machine_id: str) -> None:
        """Start a machine whose time has come, or write down why not. Raises what starting raises."""
        core = self._core
        with core.locks.holding(machine_id):
            machine = core.store.machines.find(machine_id)
            now = core.now()
            turn = due(machine, now) if machine is not None else None
            if machine is None or turn is None:
                return
            moved, run_id = replace(machine, next_run_at=turn.next_at), core.new_ulid()
            if turn.busy:
                core.store.machines.save(moved, None, skipped(machine, run_id, turn))
                return
            starting = MachineState.STARTING
            check_transition(machine.id, machine.state, starting)
            detail: dict[str, object] = {"run": run_id, "reason": f"it is due ({turn.trigger})"}
            event = Event(core.new_ulid(), machine.id, "start", starting.value, "flyd", detail, now)
            moved = replace(moved, state=starting, desired=MachineState.STARTED, restarts=0, updated_at=now)
            core.store.machines.save(moved, event, begun(machine, run_id, turn.trigger, now, at=turn))
            core.changes.notify(f"machine:{machine.id}")
            core.fault("machine.run.recorded")
            self._lifecycle.bring_up(machine_id, source="flyd")

    def runs(self, app: str, machine_id: str, *, before: str = "", limit: int = 100) -> Sequence[Run]:
        """Return a machine's runs, newest first, before the one with an id. Raises NotFound."""
        self._core.store.machines.get(app, machine_id)
        return self._core.store.runs.list(machine_id, before=before, limit=limit)
