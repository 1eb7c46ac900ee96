from __future__ import annotations

import pytest
from tests.unit.factory import exited, machine, service

from roost.model.machine import MachineState
from roost.model.machine_config import MachineConfig
from roost.plan.wake import Refuse, Rouse, whom_to_wake

S = MachineState


def choose(*machines: object, failure: str = "", now: float = 2000.0, released: bool = False) -> Rouse | Refuse:
    return whom_to_wake("shop", machines, release_failure=failure, now=now, released=released)  # type: ignore[arg-type]


def test_the_machine_that_answers_soonest_is_chosen() -> None:
    stopped = machine(id="a" * 14, state=S.STOPPED)
    suspended = machine(id="b" * 14, state=S.SUSPENDED)
    started = machine(id="c" * 14, state=S.STARTED)
    unproven = machine(id="d" * 14, state=S.STARTED, cordoned=True)
    assert choose(unproven, stopped) == Rouse(stopped)
    assert choose(stopped, suspended) == Rouse(suspended)
    assert choose(stopped, suspended, started) == Rouse(started)


def test_one_that_fails_its_checks_is_the_last_choice() -> None:
    failing = machine(id="a" * 14, state=S.STARTED)
    stopped = machine(id="b" * 14, state=S.STOPPED)
    assert whom_to_wake("shop", [failing, stopped], release_failure="", now=1.0, failing={failing.id}) == Rouse(stopped)
    assert whom_to_wake("shop", [failing], release_failure="", now=1.0, failing={failing.id}) == Rouse(failing)


@pytest.mark.parametrize(
    ("machines", "failure", "code"),
    [
        ((), "", "no_release"),
        ((), "exited with code 3", "release_failed"),
        ((machine(config=MachineConfig(image="roost/base:bookworm")),), "", "no_service"),
        ((machine(cordoned=True),), "", "not_healthy_yet"),
        ((machine(state=S.STOPPED, config=service(autostart=False)),), "", "stopped"),
        ((machine(state=S.FAILED, updated_at=1995.0, last_exit=exited(7)),), "", "app_exited"),
    ],
)
def test_a_refusal_says_whose_fault_it_is(machines: tuple[object, ...], failure: str, code: str) -> None:
    refusal = choose(*machines, failure=failure)
    assert isinstance(refusal, Refuse)
    assert (refusal.code, refusal.fault) == (code, "app")
    assert refusal.hint


def test_an_app_that_lost_its_machines_is_not_told_as_never_released() -> None:
    refusal = choose(released=True)
    assert isinstance(refusal, Refuse)
    assert (refusal.code, refusal.hint) == ("without_machines", "Make one: roost scale count 1 -a shop")


def test_a_broken_machine_is_tried_again_after_a_while() -> None:
    broken = machine(state=S.FAILED, updated_at=1000.0, last_exit=exited(7))
    assert choose(broken, now=1005.0).code == "app_exited"  # type: ignore[union-attr]
    assert choose(broken, now=1011.0) == Rouse(broken)
