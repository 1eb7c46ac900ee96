"""Which of an app's machines should run, by how much each has to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import machine, service

from roost.model.machine import Machine, MachineState
from roost.plan.idle import who_sleeps
from roost.plan.load import in_excess, is_short, whom_to_start


def web(number: int, state: MachineState = MachineState.STARTED, soft: int = 10, **more: Any) -> Machine:
    config = service(soft_limit=soft, min_machines_running=more.pop("keep", 0), autostop=more.pop("autostop", "stop"))
    return machine(id=f"{number:014x}", created_at=1000.0 + number, state=state, config=config, **more)


ONE, TWO, THREE = web(1), web(2), web(3)
ASLEEP, STOPPED = web(4, MachineState.SUSPENDED), web(5, MachineState.STOPPED)


@pytest.mark.parametrize(
    ("loads", "started"),
    [
        ({ONE.id: 11, TWO.id: 11}, ASLEEP),
        ({ONE.id: 11, TWO.id: 10}, None),
        ({ONE.id: 30}, None),  # the other is on its way up
    ],
)
def test_one_more_when_all_have_too_much(loads: dict[str, int], started: Machine | None) -> None:
    assert whom_to_start([ONE, TWO, STOPPED, ASLEEP], loads, loads.keys()) == started
    assert is_short([ONE, TWO], loads) == (started is not None)


def test_who_is_not_started() -> None:
    loads = {ONE.id: 99}
    by_hand = replace(ASLEEP, config=service(soft_limit=10, autostart=False))
    for other in (by_hand, replace(ASLEEP, cordoned=True), replace(ASLEEP, process_group="worker")):
        assert whom_to_start([ONE, other], loads, loads.keys()) is None
    assert whom_to_start([web(1, soft=0), ASLEEP], loads, loads.keys()) is None
    assert whom_to_start([ASLEEP], {}, ()) is None, "who wakes a sleeping app is the activator"


def test_one_fewer_when_the_others_have_room_to_spare() -> None:
    assert in_excess([ONE, TWO, THREE], {ONE.id: 5, TWO.id: 4, THREE.id: 4}) == [THREE]
    assert in_excess([ONE, TWO, THREE], {ONE.id: 11, TWO.id: 11, THREE.id: 0}) == []
    assert in_excess([ONE, TWO], {ONE.id: 5, TWO.id: 5}) == [], "one would have less than a tenth to spare"
    assert in_excess([ONE], {}) == []
    assert in_excess([web(1, keep=2), web(2, keep=2)], {}) == []
    assert in_excess([web(1, autostop="off"), web(2, autostop="off")], {}) == []


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_what_goes_to_sleep_is_not_woken_by_the_same_load(loads: list[int]) -> None:
    machines = [web(number) for number in range(len(loads))]
    by_id = {m.id: load for m, load in zip(machines, loads, strict=True)}
    for gone in in_excess(machines, by_id):
        left = [m for m in machines if m is not gone]
        even = -(-sum(loads) // len(left))
        asleep = replace(gone, state=MachineState.SUSPENDED)
        after = {m.id: even for m in left}
        assert whom_to_start([*left, asleep], after, after.keys()) is None


def test_each_process_group_keeps_its_own_minimum() -> None:
    def of(group: str, number: int) -> Machine:
        return web(number, keep=1, process_group=group)

    nap = who_sleeps([of("a", 1), of("a", 2), of("b", 3), of("b", 4)], active=0, last_request_at=0.0, now=1e9)
    assert sorted(m.id for m in nap.machines) == [web(2).id, web(4).id]
