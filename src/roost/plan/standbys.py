"""When a standby runs: while none of the machines it stands by for can. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from roost.model.app import Event
from roost.model.errors import BadInput
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig

STEADY = 3.0  # seconds a machine must have run again before its standby may go
_AT_REST = (MachineState.CREATED, MachineState.STOPPED, MachineState.FAILED)


class Fate(StrEnum):
    """What a machine that is stood by for can do."""

    RUNS = "runs"
    ABLE = "able"  # it rests or changes, and could run
    FAILED = "failed"  # it can't be started, or its restarts are spent
    LOST = "lost"  # it failed and was destroyed for that
    GONE = "gone"  # somebody destroyed it: nobody stands by for it any more


@dataclass(frozen=True, slots=True)
class Primary:
    """A machine that is stood by for, and since when (Unix time) it is so."""

    machine_id: str
    fate: Fate
    since: float


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a standby: `start`, `stop` or ("") nothing, why, and when to look again."""

    act: str = ""
    reason: str = ""
    look_at: float | None = None


def check_standbys(config: MachineConfig, machine_ids: Collection[str], app: str) -> None:
    """Raise BadInput unless the machines it stands by for are others of its app, whose ids these are."""
    for index, machine_id in enumerate(config.standbys):
        if machine_id not in machine_ids:
            raise BadInput(
                f"config.standbys[{index}]: {app} has no other machine {machine_id}",
                hint=f"`roost machine list -a {app}` shows the ids",
            )


def fate_of(machine_id: str, machine: Machine | None, events: Sequence[Event]) -> Primary:
    """Say what a machine can do; one that is no more (None) is judged by its events, newest first."""
    if machine is not None:
        if machine.state is MachineState.FAILED:
            return Primary(machine_id, Fate.FAILED, machine.updated_at)
        fate = Fate.RUNS if machine.state is MachineState.STARTED else Fate.ABLE
        return Primary(machine_id, fate, machine.updated_at)
    ends = [event for event in events if event.type == "destroy"]
    before = next((event for event in events if event.type != "destroy"), None)
    by_itself = bool(ends) and all(event.source == "flyd" for event in ends)
    if by_itself and before is not None and before.type == "exit" and _failed(before):
        return Primary(machine_id, Fate.LOST, before.at)
    return Primary(machine_id, Fate.GONE, ends[0].at if ends else 0.0)


def _failed(event: Event) -> bool:
    ended = event.detail.get("exit_event")
    if not isinstance(ended, Mapping):
        return event.status == MachineState.FAILED.value
    return not ended.get("requested_stop") and bool(ended.get("exit_code") or ended.get("guest_signal"))


def started_by_hand(events: Sequence[Event]) -> bool:
    """Say from a standby's events, newest first, whether somebody started it; restarts by itself don't count."""
    for event in events:
        if event.type == "start" and event.status == MachineState.STARTING.value:
            if event.detail.get("standing_in"):
                return False
            if event.source != "flyd":
                return True
    return False


def next_step(standby: Machine, primaries: Sequence[Primary], *, by_hand: bool, now: float) -> Step:
    """Decide for one standby; `by_hand` says that somebody started it, who may stop it as well.

    One that came to rest after the machines had failed (somebody stopped it, or it failed too) is left at rest.
    """
    if standby.state not in _AT_REST or standby.desired is MachineState.STARTED:
        running = [one for one in primaries if one.fate is Fate.RUNS]
        if by_hand or not running:
            return Step()
        steady = next((one for one in running if now - one.since >= STEADY), None)
        if steady is None:
            return Step(look_at=min(one.since for one in running) + STEADY)
        return Step("stop", f"machine {steady.machine_id} runs again")
    needed = [one for one in primaries if one.fate is not Fate.GONE]
    if not needed or not all(one.fate in (Fate.FAILED, Fate.LOST) for one in needed):
        return Step()
    if standby.state is not MachineState.CREATED and max(one.since for one in needed) <= standby.updated_at:
        return Step()
    told = ", ".join(f"{one.machine_id} ({one.fate})" for one in needed)
    return Step("start", f"it stands in for {told}")
