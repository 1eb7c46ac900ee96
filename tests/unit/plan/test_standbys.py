"""When a standby runs."""

from __future__ import annotations

import pytest
from tests.unit.factory import WEB, machine

from roost.model.app import Event
from roost.model.errors import BadInput
from roost.model.machine import MachineState
from roost.model.machine_config import MachineConfig
from roost.plan.standbys import STEADY, Fate, Primary, check_standbys, fate_of, next_step, started_by_hand

S = MachineState
A, B = "a" * 14, "b" * 14
STANDBY = MachineConfig(image="x", standbys=(A, B))


def standby(state: S, at: float = 1000.0) -> object:
    desired = S.STARTED if state in (S.STARTED, S.STARTING) else S.STOPPED
    return machine(config=STANDBY, state=state, desired=desired, updated_at=at)


def event(kind: str, status: str, source: str = "flyd", **detail: object) -> Event:
    return Event("01J", A, kind, status, source, detail, 500.0)


@pytest.mark.parametrize(
    ("fates", "acts"),
    [
        ((Fate.FAILED, Fate.FAILED), True),
        ((Fate.FAILED, Fate.LOST), True),
        ((Fate.LOST, Fate.GONE), True),  # nobody stands by for what somebody destroyed
        ((Fate.GONE, Fate.GONE), False),
        ((Fate.FAILED, Fate.RUNS), False),
        ((Fate.FAILED, Fate.ABLE), False),
    ],
)
@pytest.mark.parametrize("state", [S.CREATED, S.STOPPED, S.FAILED])
def test_starts_when_none_of_the_others_can_run(fates: tuple[Fate, Fate], acts: bool, state: S) -> None:
    primaries = [Primary(A, fates[0], 2000.0), Primary(B, fates[1], 1500.0)]
    step = next_step(standby(state), primaries, by_hand=False, now=3000.0)  # type: ignore[arg-type]
    assert step.act == ("start" if acts else "")
    assert not acts or A in step.reason


@pytest.mark.parametrize("state", [S.STOPPED, S.FAILED])
def test_one_that_came_to_rest_after_the_fault_stays_at_rest(state: S) -> None:
    failed = [Primary(A, Fate.FAILED, 2000.0)]
    assert not next_step(standby(state, at=2500.0), failed, by_hand=False, now=3000.0).act  # type: ignore[arg-type]
    again = [Primary(A, Fate.FAILED, 2600.0)]
    assert next_step(standby(state, at=2500.0), again, by_hand=False, now=3000.0).act  # type: ignore[arg-type]


def test_goes_when_one_of_the_others_has_run_again_for_a_while() -> None:
    primaries = [Primary(A, Fate.FAILED, 2000.0), Primary(B, Fate.RUNS, 3000.0)]
    young = next_step(standby(S.STARTED), primaries, by_hand=False, now=3000.0 + STEADY / 2)  # type: ignore[arg-type]
    assert not young.act and young.look_at == 3000.0 + STEADY
    steady = next_step(standby(S.STARTED), primaries, by_hand=False, now=3000.0 + STEADY)  # type: ignore[arg-type]
    assert steady.act == "stop" and B in steady.reason
    by_hand = next_step(standby(S.STARTED), primaries, by_hand=True, now=3000.0 + STEADY)  # type: ignore[arg-type]
    assert not by_hand.act


def test_runs_on_while_nobody_else_does() -> None:
    assert not next_step(standby(S.STARTED), [Primary(A, Fate.FAILED, 1.0)], by_hand=False, now=9e9).act  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "fate"),
    [
        ((event("destroy", "destroyed"), event("destroy", "destroying"), event("exit", "failed")), Fate.LOST),
        (
            (event("destroy", "destroyed"), event("exit", "stopped", exit_event={"exit_code": 1})),
            Fate.LOST,
        ),
        ((event("destroy", "destroyed"), event("exit", "stopped", exit_event={"exit_code": 0})), Fate.GONE),
        ((event("destroy", "destroyed"), event("destroy", "destroying", "user"), event("exit", "failed")), Fate.GONE),
        ((event("destroy", "destroyed"), event("start", "started")), Fate.GONE),
        ((), Fate.GONE),
    ],
)
def test_what_became_of_a_machine_that_is_no_more(events: tuple[Event, ...], fate: Fate) -> None:
    assert fate_of(A, None, events).fate is fate


def test_what_a_machine_can_do() -> None:
    fates = {state: fate_of(A, machine(state=state), ()).fate for state in S if state is not S.DESTROYED}
    assert {state for state, fate in fates.items() if fate is Fate.FAILED} == {S.FAILED}
    assert {state for state, fate in fates.items() if fate is Fate.RUNS} == {S.STARTED}


def test_who_started_it() -> None:
    by_itself = event("start", "starting", standing_in=True)
    restart, user = event("start", "starting"), event("start", "starting", "user")
    assert not started_by_hand((restart, by_itself, user))
    assert started_by_hand((restart, user, by_itself))
    assert not started_by_hand(())


def test_only_other_machines_of_the_app_can_be_stood_by_for() -> None:
    check_standbys(STANDBY, {A, B, "c" * 14}, "shop")
    check_standbys(WEB, (), "shop")
    with pytest.raises(BadInput, match=r"config\.standbys\[1\]"):
        check_standbys(STANDBY, {A}, "shop")
