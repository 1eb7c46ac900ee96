"""Writing machines' rows: a new state and the event that tells of it, together, and notice to who waits.

State owned: none; the rows are the store's. Who writes holds the machine's lock.
"""

from __future__ import annotations

from dataclasses import replace

from roost.control.core import Core
from roost.model.app import Event
from roost.model.errors import NotFound
from roost.model.machine import Machine, MachineState, check_transition
from roost.model.run import Run, Trigger
from roost.plan.schedule import begun, settled


class MachineRows:
    """Rows of machines."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def present(self, machine_id: str) -> Machine:
        """Return a machine that is not being destroyed; raises NotFound."""
        machine = self._core.store.machines.find(machine_id)
        if machine is None or machine.state is MachineState.DESTROYING:
            raise NotFound("machine not found", hint="`roost machine list` shows the machines")
        return machine

    def save(self, machine: Machine, event: Event | None = None) -> Machine:
        """Write the row, with the event that tells of it and what became of its run, and give notice."""
        machine = replace(machine, updated_at=self._core.now())
        self._core.store.machines.save(machine, event, self._run(machine, event))
        self._core.changes.notify(f"machine:{machine.id}")
        if machine.state in (MachineState.FAILED, MachineState.STARTED):
            self._core.changes.notify("standbys")
        return machine

    def _run(self, machine: Machine, event: Event | None) -> Run | None:
        """Return the run of a scheduled machine that begins or ends with this state of it."""
        if machine.config.schedule is None:
            return None
        run = self._core.store.runs.under_way(machine.id)
        if run is not None:
            detail = event.detail if event is not None else {}
            reason = str(detail.get("reason") or detail.get("error") or "")
            return settled(run, machine, machine.updated_at, reason=reason)
        if machine.state is MachineState.STARTING and machine.desired is MachineState.STARTED:
            return begun(machine, self._core.new_ulid(), Trigger.START, machine.updated_at)
        return None

    def record(
        self,
        machine: Machine,
        state: MachineState,
        event: str,
        source: str,
        *,
        detail: dict[str, object] | None = None,
        **changes: object,
    ) -> Machine:
        """Write a new state with the event that tells of it."""
        check_transition(machine.id, machine.state, state)
        changed = replace(machine, state=state, **changes)  # type: ignore[arg-type]
        return self.save(changed, self.event(machine, event, state.value, source, detail or {}))

    def event(self, machine: Machine, kind: str, status: str, source: str, detail: dict[str, object]) -> Event:
        """Return an event of now."""
        return Event(self._core.new_ulid(), machine.id, kind, status, source, detail, self._core.now())
