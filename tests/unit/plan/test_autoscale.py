"""How many machines the load asks for, and that a load that moves to and fro moves no machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import machine

from roost.model.autoscale import JOINING, MADE, MADE_KEY, AutoscalePolicy, Signal
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Mount
from roost.plan.autoscale import Group, History, Seen, Spell, Verdict, decide, group_of, sample

POLICY = AutoscalePolicy(max=5, concurrency=10, down_after=60.0)


def machines(count: int, *, made: int = 0, state: MachineState = MachineState.STARTED, **more: Any) -> list[Machine]:
    """Machines of a group, the last ones made by autoscaling."""
    found = []
    for index in range(count):
        one = machine(id=f"{state.value[:3]}{index:011x}", state=state, created_at=1000.0 + index, **more)
        if index >= count - made:
            one = replace(one, config=replace(one.config, metadata={MADE_KEY: MADE}))
        found.append(one)
    return found


def ask(policy: AutoscalePolicy, group: Group, *requests: int, every: float = 1.0) -> Verdict:
    """Look once a second; the verdict of the last look."""
    history, at, verdict = History(), 0.0, None
    for number in requests:
        history.add(sample(policy, Seen(number), total=group.total, at=at), policy.down_after)
        verdict = decide(policy, group, history, at)
        at += every
    assert verdict is not None
    return verdict


def test_more_requests_make_machines_up_to_the_maximum() -> None:
    group = group_of(machines(1), "app")
    found = ask(POLICY, group, 31)
    assert (found.wanted, found.make, found.action) == (4, 3, "up")
    assert found.why == "31 requests at once, 10 per machine: 4 machines"
    found = ask(POLICY, group, 900)
    assert (found.wanted, found.make, found.held) == (5, 4, "max is 5")
    full = ask(POLICY, group_of(machines(5), "app"), 900)
    assert (full.wanted, full.acts, full.action, full.held) == (5, False, "limit", "max is 5")


def test_that_the_minimum_keeps_machines_is_told() -> None:
    policy = replace(POLICY, min=1)
    found = ask(policy, group_of(machines(1), "app"), 0)
    assert (found.wanted, found.acts, found.held, found.action) == (1, False, "min is 1", "")
    assert ask(policy, group_of(machines(1), "app"), 10).held == ""
    assert ask(policy, group_of(machines(2), "app"), 0).held != "min is 1", "one may go"


def test_those_that_sleep_are_woken_before_others_are_made() -> None:
    group = group_of([*machines(1), *machines(2, state=MachineState.SUSPENDED)], "app")
    found = ask(POLICY, group, 40)
    assert ([m.id for m in found.wake], found.make, found.wanted) == (["sus00000000000", "sus00000000001"], 1, 4)
    assert ask(POLICY, group, 15).make == 0
    assert not ask(POLICY, group, 0).acts, "who sleeps is nobody's affair while nobody calls"


def test_steps_and_times() -> None:
    policy = replace(POLICY, up_after=3.0, up_step=2)
    group = group_of(machines(1), "app")
    assert ask(policy, group, 50).held == "not for 3 s yet (up_after)"
    assert not ask(policy, group, 50, 50, 5, 50).acts, "a break begins it anew"
    assert ask(policy, group, 50, 22, 50, 50).make == 2, "the least of that time counts"


def test_fewer_only_after_a_while_and_with_room_to_spare() -> None:
    group = group_of(machines(3, made=2), "app")
    assert ask(POLICY, group, 5, 5).held == "not for 60 s yet (down_after)"
    found = ask(POLICY, group, *[5] * 61)
    assert ([m.id for m in found.remove], found.wanted, found.action) == (
        ["sta00000000002", "sta00000000001"], 1, "down",
    )  # fmt: skip
    assert not ask(POLICY, group, *[5] * 30, 21, *[5] * 30).acts, "the greatest of that time counts"
    assert not ask(POLICY, group, *[19] * 61).acts, "two machines would have less than a tenth to spare"
    assert ask(POLICY, group, *[18] * 61).wanted == 2
    one = ask(replace(POLICY, down_step=1), group, *[0] * 61)
    assert (len(one.remove), one.wanted) == (1, 2)


def test_only_its_own_machines_go_unless_asked() -> None:
    assert not ask(POLICY, group_of(machines(3), "app"), *[0] * 61).acts
    kept = ask(POLICY, group_of(machines(3), "app"), *[0] * 61)
    assert not kept.acts and "stay" in kept.held, "it is said why there are more than the load asks for"
    found = ask(replace(POLICY, remove="any"), group_of(machines(3), "app"), *[0] * 61)
    assert (len(found.remove), found.wanted) == (2, 1)
    with_volumes = [replace(m, config=replace(m.config, mounts=(Mount("/data", name="d"),))) for m in machines(3)]
    assert not ask(replace(POLICY, remove="any"), group_of(with_volumes, "app"), *[0] * 61).acts


def test_those_that_sleep_go_first() -> None:
    group = group_of([*machines(2, made=1), *machines(1, made=1, state=MachineState.SUSPENDED)], "app")
    found = ask(POLICY, group, *[15] * 61)
    assert [m.id for m in found.remove] == ["sus00000000000"]


def test_min_is_kept_and_what_is_not_its_affair_does_not_count() -> None:
    policy = replace(POLICY, min=3)
    found = ask(policy, group_of(machines(1), "app"), 0)
    assert (found.make, found.why) == (2, "min is 3")
    strangers = [*machines(1, cordoned=True), *machines(1, process_group="worker"), *machines(1, release=0)]
    assert group_of(strangers, "app").total == 0
    joining = replace(machine(cordoned=True), config=replace(machine().config, metadata={MADE_KEY: JOINING}))
    assert group_of([joining], "app").joining == (joining,)


def test_a_load_that_comes_and_goes_at_the_maximum_is_one_line() -> None:
    spell, none = Spell(), Verdict(4, "")
    full, blind = Verdict(4, "", held="max is 4", action="limit"), Verdict(4, "", held="unseen", action="blind")
    looks = [(none, 0), (full, 1), (full, 2), (none, 3), (full, 4), (none, 5), (full, 200), (full, 499), (none, 500)]
    assert [at for verdict, at in looks if spell.begins(verdict, float(at))] == [1]
    assert [at for verdict, at in ((full, 900), (blind, 901), (full, 902)) if spell.begins(verdict, at)] == [
        900,
        901,
        902,
    ]


def test_what_can_not_be_seen_takes_nothing_away() -> None:
    policy = AutoscalePolicy(max=9, concurrency=10, signals=(Signal("depth", 100.0),), down_after=0.0)
    group = group_of(machines(3, made=2), "app")

    def look(seen: Seen) -> Verdict:
        history = History()
        history.add(sample(policy, seen, total=group.total, at=0.0), 0.0)
        return decide(policy, group, history, 0.0)

    assert (look(Seen(0, 0, (None,))).action, look(Seen(0, 0, (None,))).acts) == ("blind", False)
    assert look(Seen(None, 0, (0.0,))).acts is False
    assert look(Seen(0, 0, (0.0,))).action == "down"
    found = look(Seen(None, 0, (950.0,)))
    assert (found.make, found.wanted) == (6, 9)
    assert "depth (sum) is 950, 100 per machine: 10 machines" in found.why
    assert "the edge does not tell" in found.why


@given(st.lists(st.integers(0, 100), min_size=1, max_size=120), st.integers(1, 6))
def test_a_load_that_moves_by_less_than_the_slack_moves_nothing(loads: list[int], count: int) -> None:
    policy = AutoscalePolicy(max=20, concurrency=100, down_after=10.0)
    group = group_of(machines(count, made=count - 1), "app")
    least, most = int((count - 1) * 90) + 1, count * 100
    steady = [min(most, max(least, least + load % (most - least + 1))) for load in loads]
    assert not ask(policy, group, *steady).acts


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=80), st.integers(1, 8), st.integers(0, 8))
def test_bounds_hold_whatever_the_load(loads: list[int], count: int, made: int) -> None:
    policy = AutoscalePolicy(min=1, max=6, concurrency=10, down_after=5.0)
    group = group_of(machines(count, made=min(made, count)), "app")
    found = ask(policy, group, *loads)
    assert group.total + found.make <= max(policy.max, group.total)
    assert group.total - len(found.remove) >= policy.min
    assert not (found.make and found.remove)
    assert all(m.config.metadata.get(MADE_KEY) == MADE for m in found.remove)
