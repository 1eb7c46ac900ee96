"""Simulates rollouts: whatever the start, the walk ends at the release and never drops below what there was."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import WEB, machine

from roost.model.machine import Machine
from roost.model.machine_config import Mount
from roost.plan.rollout import Bring, Remake, Retire, rollout_step, wanted_counts


def walk(
    machines: list[Machine], wanted: dict[str, int], release: int, *, all_first: bool = False
) -> list[list[Machine]]:
    history = [machines]
    for number in range(200):
        step = rollout_step(machines, wanted, release, all_first=all_first)
        if step is None:
            return history
        if isinstance(step, Bring):
            new = replace(machine(), id=f"{number:014x}", release=release, process_group=step.group)
            machines = [*machines, new]
        else:
            assert isinstance(step, Retire)
            machines = [m for m in machines if m.id != step.machine_id]
        history.append(machines)
    raise AssertionError("the rollout does not end")


groups = st.lists(st.sampled_from(["app", "worker", "gone"]), max_size=6)


@given(groups, st.integers(0, 6))
def test_a_rollout_ends_and_never_leaves_a_group_smaller(names: list[str], cut: int) -> None:
    start = [machine(id=f"f{i:013x}", process_group=name, release=1) for i, name in enumerate(names)]
    configs = {"app": WEB, "worker": WEB}
    wanted = wanted_counts(start, configs)
    history = walk(start, wanted, 2)
    for machines in history:
        for group in configs:
            assert sum(m.process_group == group for m in machines) >= sum(m.process_group == group for m in start)
    assert all(m.release == 2 for m in history[-1])
    assert {g: sum(m.process_group == g for m in history[-1]) for g in configs} == wanted
    # and back again from anywhere in the middle, as after a release that fails
    back = walk(history[min(cut, len(history) - 1)], wanted, 1)
    assert all(m.release == 1 for m in back[-1])
    assert {g: sum(m.process_group == g for m in back[-1]) for g in configs} == wanted


def test_a_group_without_machines_gets_one_unless_it_is_to_have_none() -> None:
    there = [machine(process_group="app", release=1), machine(id="f" * 14, process_group="app", release=1)]
    configs = {"app": WEB, "worker": WEB, "new": WEB}
    assert wanted_counts(there, configs) == {"app": 2, "worker": 1, "new": 1}
    wanted = wanted_counts(there, configs, {"worker", "app"})
    assert wanted == {"app": 2, "worker": 0, "new": 1}, "one that has machines all the same keeps them"
    for backwards in (False, True):
        end = walk(there, wanted, 0 if backwards else 2)[-1]
        assert {m.process_group for m in end} == {"app", "new"}


def test_a_machine_made_by_hand_is_left_alone() -> None:
    by_hand = machine(release=0, process_group="tool")
    assert walk([by_hand], {"app": 1}, 2)[-1][0] == by_hand


def test_machines_with_volumes_are_remade_one_by_one_in_both_directions() -> None:
    holding = replace(WEB, mounts=(Mount("/data", "vol_0123456789abcdef", "data"),))
    machines = [machine(id=f"{i:014x}", release=1, config=holding) for i in range(2)]
    assert rollout_step(machines, {"app": 2}, 2, {"app"}) == Remake(machines[0].id, "app")
    machines[0] = replace(machines[0], release=2)
    assert rollout_step(machines, {"app": 2}, 2, {"app"}) == Remake(machines[1].id, "app")
    assert rollout_step(machines, {"app": 2}, 1, {"app"}) == Remake(machines[0].id, "app")
    assert rollout_step(machines, {"app": 3}, 1, {"app"}) == Remake(machines[0].id, "app")
    assert rollout_step(machines[:1], {"app": 2}, 2, {"app"}) == Bring("app")
    assert rollout_step(machines[:1], {"app": 1}, 3) == Remake(machines[0].id, "app")  # the release has no volume
    assert rollout_step(machines, {"app": 1}, 2, {"app"}) == Retire(machines[1].id)
    assert rollout_step(machines, {"web": 0}, 2) == Retire(machines[1].id)


@given(groups, st.integers(0, 6))
def test_bluegreen_has_all_new_machines_before_any_goes(names: list[str], cut: int) -> None:
    start = [machine(id=f"f{i:013x}", process_group=name, release=1) for i, name in enumerate(names)]
    wanted = wanted_counts(start, {"app": WEB, "worker": WEB})
    history = walk(start, wanted, 2, all_first=True)
    again = walk(history[min(cut, len(history) - 1)], wanted, 2, all_first=True)
    for seen in (*history, *again):
        new = [m for m in seen if m.release == 2]
        old = [m for m in seen if m.release == 1]
        assert len(old) == len(start) or len(new) == sum(wanted.values())
    for end in (history[-1], again[-1]):
        assert {g: sum(m.process_group == g for m in end) for g in wanted} == wanted
        assert all(m.release == 2 for m in end)
