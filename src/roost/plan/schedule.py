"""What to do with a scheduled machine when its time has come, and what its state says about its run. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.run import Run, RunState, Trigger

LATE = 60.0  # seconds after its time from which on a run counts as a catch-up
MOST_MISSED = 1000  # times that are counted, when nobody was there for long
_AT_REST = (MachineState.CREATED, MachineState.STOPPED, MachineState.FAILED)


@dataclass(frozen=True, slots=True)
class Due:
    """A time that has come. `busy` says why it is skipped; "" means: run."""

    scheduled_at: float
    missed: int
    trigger: Trigger
    busy: str
    next_at: float | None  # the time after it


def due(machine: Machine, now: float) -> Due | None:
    """Decide for one machine: None when its time has not come.

    Of several times that have passed the latest counts, and the others are missed: there is one run, not many.
    A machine that runs, is about to run again or changes is left alone.
    """
    schedule, first = machine.config.schedule, machine.next_run_at
    if schedule is None or first is None or first > now:
        return None
    latest, missed, following = first, 0, schedule.next_after(first)
    while following is not None and following <= now:
        latest, missed = following, missed + 1
        if missed >= MOST_MISSED:
            following = schedule.next_after(now)
            break
        following = schedule.next_after(latest)
    late = missed > 0 or now - latest > LATE
    busy = ""
    if machine.state not in _AT_REST or machine.desired is MachineState.STARTED:
        busy = f"the machine was {machine.state}: the run before had not ended"
    return Due(latest, missed, Trigger.CATCH_UP if late else Trigger.SCHEDULE, busy, following)


def next_run(config: MachineConfig, now: float, *, before: Machine | None = None) -> float | None:
    """Return when a machine with this configuration is due next; as it was `before` if its schedule has not changed."""
    if before is not None and before.config.schedule == config.schedule:
        return before.next_run_at
    return config.schedule.next_after(now) if config.schedule is not None else None


def begun(machine: Machine, run_id: str, trigger: Trigger, now: float, *, at: Due | None = None) -> Run:
    """Return the run that begins now."""
    return Run(
        run_id,
        machine.id,
        machine.app,
        machine.instance_id,
        trigger,
        RunState.RUNNING,
        scheduled_at=at.scheduled_at if at else 0.0,
        missed=at.missed if at else 0,
        started_at=now,
    )


def skipped(machine: Machine, run_id: str, at: Due) -> Run:
    """Return the run that does not take place."""
    return Run(
        run_id,
        machine.id,
        machine.app,
        machine.instance_id,
        at.trigger,
        RunState.SKIPPED,
        scheduled_at=at.scheduled_at,
        missed=at.missed,
        reason=at.busy,
    )


def settled(run: Run, machine: Machine, now: float, *, reason: str = "") -> Run | None:
    """Return how a run that goes on has ended, from what the machine became; None while it goes on.

    Restarts by the machine's restart policy are part of one run. An end that nobody saw is an interruption.
    """
    if machine.desired is MachineState.STARTED or machine.state not in (*_AT_REST, MachineState.DESTROYING):
        return None
    info = machine.last_exit
    if info is None or info.at < run.started_at:  # that is how an earlier run ended
        state = RunState.FAILED if machine.state is MachineState.FAILED else RunState.INTERRUPTED
        return replace(run, state=state, ended_at=now, reason=reason or "the machine was stopped")
    if info.requested_stop:
        state, reason = RunState.INTERRUPTED, reason or "the machine was stopped"
    elif machine.state is MachineState.FAILED or info.exit_code or info.signal:
        state = RunState.FAILED
    else:
        state = RunState.SUCCEEDED
    return replace(
        run,
        state=state,
        ended_at=info.at,
        exit_code=info.exit_code,
        signal=info.signal,
        oom=info.oom_killed,
        reason=reason,
    )
