from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import machine, service

from roost.model.machine import MachineState
from roost.plan.pressure import Sleeper, relieve, reserve

MB = 1 << 20


def sleeper(number: int, *, since: float, memory: int = 100 * MB, **changes: object) -> Sleeper:
    asleep = machine(id=f"{number:014x}", state=MachineState.SUSPENDED, updated_at=since, **changes)
    return Sleeper(asleep, memory)


def test_nobody_is_stopped_while_there_is_enough() -> None:
    assert relieve([sleeper(1, since=0)], available=1000 * MB, kept_free=1000 * MB) == ()


def test_the_longest_asleep_go_first_and_no_more_than_needed() -> None:
    old, older, young = sleeper(1, since=20), sleeper(2, since=10), sleeper(3, since=30)
    reliefs = relieve([old, older, young], available=900 * MB, kept_free=840 * MB)
    assert reliefs == ()
    reliefs = relieve([old, older, young], available=900 * MB, kept_free=901 * MB)
    assert [r.machine for r in reliefs] == [older.machine, old.machine, young.machine]  # a quarter more than is missing
    reliefs = relieve([old, older, young], available=50 * MB, kept_free=120 * MB)
    assert [r.machine for r in reliefs] == [older.machine]
    assert "50 MB free of 120 MB" in reliefs[0].reason


def test_one_that_no_request_can_start_goes_last() -> None:
    by_hand = sleeper(1, since=0, config=service(autostart=False))
    by_request = sleeper(2, since=99)
    reliefs = relieve([by_hand, by_request], available=90 * MB, kept_free=100 * MB)
    assert [r.machine for r in reliefs] == [by_request.machine]


def test_the_reserve_is_a_share_of_a_small_host_and_a_gigabyte_of_a_large_one() -> None:
    assert reserve(2000 * MB) == 100 * MB
    assert reserve(1 << 40) == 1 << 30


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 1 << 30)), max_size=20),
    st.integers(0, 1 << 32),
    st.integers(0, 1 << 32),
)
def test_what_is_freed_is_enough_or_everything(rows: list[tuple[float, int]], available: int, kept_free: int) -> None:
    sleepers = [sleeper(n, since=since, memory=memory) for n, (since, memory) in enumerate(rows)]
    reliefs = relieve(sleepers, available=available, kept_free=kept_free)
    freed = sum(s.memory for s in sleepers if s.machine in [r.machine for r in reliefs])
    if available >= kept_free:
        assert reliefs == ()
    else:
        assert available + freed >= kept_free or len(reliefs) == len(sleepers)
