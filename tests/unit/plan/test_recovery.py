from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from tests.unit.factory import WEB, exited, machine

from roost.model.machine import MachineState
from roost.model.machine_config import MachineConfig, Restart
from roost.model.schedule import Schedule
from roost.plan.recovery import Recovery, has_ended, recover

S = MachineState


@pytest.mark.parametrize(
    ("state", "desired", "seen", "step"),
    [
        (S.STARTED, S.STARTED, "running", Recovery.ADOPT),
        (S.STARTING, S.STARTED, "running", Recovery.ADOPT),
        (S.STARTING, S.STARTED, "absent", Recovery.START),
        (S.STARTING, S.STARTED, "present", Recovery.START),
        (S.CREATED, S.STARTED, "absent", Recovery.START),
        (S.CREATED, S.STOPPED, "absent", Recovery.NONE),
        (S.STARTED, S.STARTED, "absent", Recovery.START),
        (S.STARTED, S.STARTED, "present", Recovery.START),
        (S.STARTED, S.STARTED, "ended", Recovery.EXITED),
        (S.SUSPENDED, S.SUSPENDED, "frozen", Recovery.NONE),
        (S.SUSPENDING, S.SUSPENDED, "frozen", Recovery.KEEP_FROZEN),
        (S.SUSPENDING, S.SUSPENDED, "running", Recovery.ADOPT),
        (S.SUSPENDED, S.STARTED, "frozen", Recovery.THAW),
        (S.SUSPENDED, S.SUSPENDED, "absent", Recovery.MARK_STOPPED),
        (S.STOPPING, S.STOPPED, "running", Recovery.STOP),
        (S.STOPPING, S.STOPPED, "frozen", Recovery.STOP),
        (S.STOPPING, S.STOPPED, "present", Recovery.MARK_STOPPED),
        (S.STOPPED, S.STOPPED, "absent", Recovery.NONE),
        (S.STOPPED, S.STARTED, "absent", Recovery.START),
        (S.FAILED, S.STOPPED, "absent", Recovery.NONE),
        (S.DESTROYING, S.DESTROYED, "running", Recovery.DESTROY),
        (S.DESTROYING, S.DESTROYED, "absent", Recovery.DESTROY),
    ],
)
def test_each_way_in_which_row_and_host_differ(
    state: MachineState, desired: MachineState, seen: str, step: Recovery
) -> None:
    found = recover(
        machine(state=state, desired=desired),
        running=seen == "running",
        frozen=seen == "frozen",
        present=seen != "absent",
        ended=seen == "ended",
    )
    assert found is step


def test_every_combination_is_decided() -> None:
    desires = (S.STARTED, S.SUSPENDED, S.STOPPED, S.DESTROYED)
    for state, desired, seen in itertools.product(S, desires, ("running", "frozen", "present", "ended", "absent")):
        row = machine(state=state, desired=desired)
        assert (
            recover(
                row, running=seen == "running", frozen=seen == "frozen", present=seen != "absent", ended=seen == "ended"
            )
            in Recovery
        )


def test_what_must_run_only_once_is_not_started_again() -> None:
    once = machine(config=replace(WEB, restart=Restart("no")))
    assert recover(once, running=False, frozen=False, present=True, ended=False) is Recovery.EXITED


@pytest.mark.parametrize(
    ("state", "desired", "seen", "step"),
    [
        (S.STARTING, S.STARTED, "absent", Recovery.START),  # the run was recorded, its program had not begun
        (S.STARTING, S.STARTED, "ended", Recovery.EXITED),
        (S.STARTING, S.STARTED, "running", Recovery.ADOPT),
        (S.STARTED, S.STARTED, "running", Recovery.ADOPT),
        (S.STARTED, S.STARTED, "ended", Recovery.EXITED),
        (S.STARTED, S.STARTED, "present", Recovery.INTERRUPTED),  # the server went down under it
        (S.STARTED, S.STARTED, "absent", Recovery.INTERRUPTED),
        (S.STOPPED, S.STARTED, "absent", Recovery.START),  # between two tries of one run
        (S.STOPPED, S.STOPPED, "absent", Recovery.NONE),
        (S.FAILED, S.STOPPED, "absent", Recovery.NONE),
        (S.STOPPING, S.STOPPED, "running", Recovery.STOP),
    ],
)
def test_a_run_of_a_scheduled_machine_is_not_run_again(
    state: MachineState, desired: MachineState, seen: str, step: Recovery
) -> None:
    job = machine(config=MachineConfig(image="x", schedule=Schedule("daily")), state=state, desired=desired)
    found = recover(job, running=seen == "running", frozen=False, present=seen != "absent", ended=seen == "ended")
    assert found is step


def test_what_an_earlier_run_left_does_not_end_one_that_begins() -> None:
    starting = machine(state=S.STARTING, updated_at=2000.0)
    assert not has_ended(starting, exited(0, at=1999.0))
    assert has_ended(starting, exited(0, at=2001.0))
    assert has_ended(machine(updated_at=2000.0), exited(0, at=1999.0))
    assert not has_ended(starting, exited(0, at=2001.0, requested_stop=True))
    assert not has_ended(starting, None)
