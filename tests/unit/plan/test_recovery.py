from __future__ import annotations

import itertools

import pytest

from roost.model.machine import MachineState
from roost.plan.recovery import Recovery, recover
from tests.unit.factory import machine

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
        (S.STARTED, S.STARTED, "present", Recovery.EXITED),
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
    )
    assert found is step


def test_every_combination_is_decided() -> None:
    desires = (S.STARTED, S.SUSPENDED, S.STOPPED, S.DESTROYED)
    for state, desired, seen in itertools.product(S, desires, ("running", "frozen", "present", "absent")):
        row = machine(state=state, desired=desired)
        assert recover(row, running=seen == "running", frozen=seen == "frozen", present=seen != "absent") in Recovery
