from __future__ import annotations

import pytest
from tests.unit.factory import exited, machine, service

from roost.control.apps import describe, with_next_step
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


def test_it_is_said_which_machines_get_no_requests_and_why() -> None:
    one, two = machine(id="1" * 14, config=service()), machine(id="2" * 14, config=service())
    broken = {two.id: "it fails its check c: GET /health answered 500"}
    state, why = describe([one, two], [], deploying=False, withheld=broken, failing=broken)
    assert state == "awake" and why == f"2 of 2 machines run; {two.id} gets no requests: {broken[two.id]}"
    state, why = describe([two], [], deploying=False, withheld=broken, failing=broken)
    assert state == "broken" and "GET /health answered 500" in why, "a visitor gets nothing else"
    state, why = describe([two], [], deploying=False, withheld={two.id: "it does not listen on port 8080 yet"})
    assert state == "awake" and "does not listen" in why, "it starts, and its visitors wait"
    aside = machine(id="3" * 14, config=service(), cordoned=True)
    state, why = describe([one, aside], [], deploying=False, withheld={aside.id: "it starts"})
    assert state == "awake" and "uncordon" in why and "it starts" not in why
    ended = {one.id: "exited with code 3, 7 s ago"}
    again = describe([one], [], deploying=False, lately=ended)[1]
    assert again == f"1 of 1 machines run; {one.id} exited with code 3, 7 s ago, and was started again"
    often = machine(id=one.id, restarts=5, config=service())
    assert describe([often], [], deploying=False, lately=ended)[1] == f"{again} (restart 5)"
    loops = machine(id="5" * 14, state=S.STOPPED, restarts=3, last_exit=exited(7), config=service())
    state, why = describe([loops], [], deploying=False)
    assert (state, why) == (
        "broken",
        f"machine {loops.id} exited with code 7, and is started again in a moment (restart 3)",
    )
    assert f"1 of 2 machines run; {loops.id} exited with code 7" in describe([one, loops], [], deploying=False)[1]
    ended = machine(id="4" * 14, state=S.FAILED, last_exit=exited(3), config=service())
    assert f"{ended.id} exited" in describe([one, ended], [], deploying=False)[1]


def test_what_is_broken_comes_with_the_next_step() -> None:
    told = with_next_step("release v1 did not become healthy: pg exited with code 1.", "pg")
    assert told == "release v1 did not become healthy: pg exited with code 1; its log: roost logs -a pg"
