"""Which machine takes a request that says where it wants to go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.factory import machine

from roost.model.machine import MachineState
from roost.model.steering import Wish
from roost.plan.steering import in_regions, whom_to_steer_to
from roost.plan.wake import Refuse, Rouse

S = MachineState

FIRST, SECOND = machine(id="a" * 14), machine(id="b" * 14, region="iad")


def choose(wish: Wish, *machines: object, turn: int = 0) -> Rouse | Refuse:
    return whom_to_steer_to("shop", machines or (FIRST, SECOND), wish, release_failure="", now=2000.0, turn=turn)  # type: ignore[arg-type]


def test_a_named_machine_is_woken_though_others_run() -> None:
    asleep = replace(SECOND, state=S.STOPPED)
    assert choose(Wish(instance=asleep.id), FIRST, asleep) == Rouse(asleep)
    assert choose(Wish(prefer=asleep.id), FIRST, asleep) == Rouse(asleep)


def test_wishes_without_a_name() -> None:
    assert choose(Wish(regions=("iad",))) == Rouse(SECOND)
    assert choose(Wish(regions=("eu", "us"))) == Rouse(SECOND)
    assert choose(Wish(not_on=FIRST.id)) == Rouse(SECOND)
    assert choose(Wish(prefer="f" * 14)) == Rouse(FIRST)
    assert [choose(Wish(), turn=0), choose(Wish(), turn=1)] == [Rouse(FIRST), Rouse(SECOND)]
    assert choose(Wish(), replace(FIRST, state=S.SUSPENDED), SECOND) == Rouse(SECOND)
    assert choose(Wish(), replace(FIRST, cordoned=True), SECOND) == Rouse(SECOND)


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (Wish(instance="f" * 14), "machine_not_found"),
        (Wish(regions=("nrt",)), "no_candidate"),
        (Wish(regions=("local",), not_on=FIRST.id), "no_candidate"),
    ],
)
def test_what_can_not_be_had(wish: Wish, code: str) -> None:
    found = choose(wish)
    assert isinstance(found, Refuse)
    assert found.code == code


def test_aliases() -> None:
    assert in_regions("local", ())
    assert in_regions("local", ("any",))
    assert in_regions("fra", ("eu",))
    assert in_regions("yul", ("na",))
    assert not in_regions("yul", ("us",))
    assert not in_regions("local", ("eu", "us", "na", "sa", "apac"))
