from __future__ import annotations

import pytest
from tests.unit.factory import machine, service

from roost.control.apps import describe
from roost.model.app import Release, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.machine import MachineState

S = MachineState


def release(state: ReleaseState, version: int = 1) -> Release:
    return Release("shop", version, "sha256:0", "", AppConfig(), {}, state, "why", 1.0)


@pytest.mark.parametrize(
    ("states", "releases", "expected"),
    [
        ((), [], ("empty", "nothing was deployed yet")),
        ((), [release(ReleaseState.FAILED)], ("broken", "why")),
        ((), [release(ReleaseState.COMPLETE)], ("empty", "it has no machines: they were destroyed, or scaled to 0")),
        ((S.SUSPENDED, S.STOPPED), [], ("asleep", "of its machines 1 suspended, 1 stopped; a request wakes it")),
        ((S.STARTED, S.STOPPED), [], ("awake", "1 of 2 machines run")),
    ],
)
def test_how_an_app_is(states: tuple[S, ...], releases: list[Release], expected: tuple[str, str]) -> None:
    machines = [machine(state=state, config=service()) for state in states]
    state, why = describe(machines, releases, deploying=False)
    assert (state, why[: len(expected[1])]) == expected
