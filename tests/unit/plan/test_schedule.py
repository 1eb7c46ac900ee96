"""What happens at a machine's time, and what its state says of its run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.factory import exited, machine

from roost.model.machine import MachineState
from roost.model.machine_config import MachineConfig
from roost.model.run import RunState, Trigger
from roost.model.schedule import Schedule
from roost.plan.schedule import LATE, MOST_MISSED, begun, due, next_run, settled, skipped

S = MachineState
MINUTELY = MachineConfig(image="job", schedule=Schedule("* * * * *"))
RESTING = machine(config=MINUTELY, state=S.STOPPED, desired=S.STOPPED, next_run_at=6000.0)
RUN = begun(machine(), "01J", Trigger.SCHEDULE, 1000.0)


def test_nothing_is_due_before_its_time() -> None:
    assert due(RESTING, 5999.9) is None
    assert due(machine(), 1e9) is None


def test_at_its_time_a_machine_at_rest_runs() -> None:
    for state in (S.CREATED, S.STOPPED, S.FAILED):
        turn = due(replace(RESTING, state=state), 6000.0)
        assert turn is not None and not turn.busy
        assert (turn.scheduled_at, turn.missed, turn.trigger, turn.next_at) == (6000.0, 0, Trigger.SCHEDULE, 6060.0)


@pytest.mark.parametrize(
    ("state", "desired"),
    [(S.STARTED, S.STARTED), (S.STARTING, S.STARTED), (S.STOPPING, S.STOPPED), (S.STOPPED, S.STARTED)],
)
def test_while_a_run_goes_on_the_next_is_skipped(state: S, desired: S) -> None:
    turn = due(replace(RESTING, state=state, desired=desired), 6000.0)
    assert turn is not None and turn.busy and turn.next_at == 6060.0
    run = skipped(RESTING, "01K", turn)
    assert run.state is RunState.SKIPPED and run.scheduled_at == 6000.0 and run.reason == turn.busy
    assert not run.started_at and not run.ended_at


def test_of_times_that_nobody_saw_the_latest_is_caught_up_on_once() -> None:
    turn = due(RESTING, 6000.0 + 3 * 60 + 1)
    assert turn is not None
    assert (turn.scheduled_at, turn.missed, turn.trigger, turn.next_at) == (6180.0, 3, Trigger.CATCH_UP, 6240.0)
    assert begun(RESTING, "01K", turn.trigger, 6181.0, at=turn).missed == 3


def test_a_single_late_time_is_a_catch_up_too() -> None:
    daily = replace(RESTING, config=replace(MINUTELY, schedule=Schedule("daily")), next_run_at=86400.0)
    turn = due(daily, 86400.0 + LATE + 1)
    assert turn is not None and turn.trigger is Trigger.CATCH_UP and turn.missed == 0


def test_counting_what_was_missed_has_an_end() -> None:
    secondly = replace(RESTING, config=replace(MINUTELY, schedule=Schedule("* * * * * *")))
    turn = due(secondly, 6000.0 + 1e6)
    assert turn is not None and turn.missed == MOST_MISSED and turn.next_at == 6001.0 + 1e6


def test_a_new_schedule_is_planned_anew_and_the_same_one_is_kept() -> None:
    assert next_run(MINUTELY, 7000.0) == 7020.0
    assert next_run(MINUTELY, 9000.0, before=RESTING) == 6000.0
    assert next_run(replace(MINUTELY, schedule=Schedule("hourly")), 7000.0, before=RESTING) == 7200.0
    assert next_run(replace(MINUTELY, schedule=None), 7000.0, before=RESTING) is None


@pytest.mark.parametrize(
    ("state", "info", "ended"),
    [
        (S.STOPPED, exited(0), RunState.SUCCEEDED),
        (S.STOPPED, exited(3), RunState.FAILED),  # its restart policy is `no`
        (S.FAILED, exited(3), RunState.FAILED),
        (S.STOPPED, exited(137, signal=9, oom_killed=True), RunState.FAILED),
        (S.STOPPED, exited(0, requested_stop=True), RunState.INTERRUPTED),
        (S.STOPPED, exited(0, at=999.0), RunState.INTERRUPTED),  # an earlier run's end: nobody saw this one's
        (S.STOPPED, None, RunState.INTERRUPTED),
        (S.FAILED, None, RunState.FAILED),  # it could not be started
        (S.DESTROYING, None, RunState.INTERRUPTED),
    ],
)
def test_how_a_run_ended(state: S, info: object, ended: RunState) -> None:
    run = settled(RUN, machine(state=state, desired=S.STOPPED, last_exit=info), 2000.0, reason="")
    assert run is not None and run.state is ended
    assert run.ended_at == (info.at if info is not None and info.at >= 1000.0 else 2000.0)  # type: ignore[attr-defined]
    assert run.id == RUN.id and (run.reason or ended is not RunState.INTERRUPTED)


@pytest.mark.parametrize(
    ("state", "desired"), [(S.STARTED, S.STARTED), (S.STOPPED, S.STARTED), (S.STARTING, S.STARTED)]
)
def test_a_run_goes_on_through_its_restarts(state: S, desired: S) -> None:
    assert settled(RUN, machine(state=state, desired=desired, last_exit=exited(1)), 2000.0) is None
