"""The traffic book: events may come late, twice or never."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from roost.edge.contract import Traffic
from roost.edge.traffic import TrafficBook


def test_starts_and_ends_are_counted_and_repetitions_are_not() -> None:
    book = TrafficBook()
    assert book.traffic("a") == Traffic(0, 0.0)
    for _ in range(2):
        book.started("a", "s1", 1.0)
    book.started("a", "s2", 2.0)
    assert book.traffic("a") == Traffic(2, 2.0)
    for _ in range(2):
        book.ended("a", "s1", 1.0, 5.0)
    assert book.traffic("a") == Traffic(1, 5.0)
    assert book.traffic("b") == Traffic(0, 0.0)


def test_spliced_requests_count_too() -> None:
    book = TrafficBook()
    book.splicing("a", 1, 3.0)
    book.started("a", "s1", 4.0)
    assert (book.traffic("a").active, book.spliced("a")) == (2, 1)
    book.splicing("a", -1, 6.0)
    assert book.traffic("a") == Traffic(1, 6.0)


def test_what_was_under_way_before_roostd_came_is_counted_until_it_ends() -> None:
    book = TrafficBook()
    book.measured({"a": 2}, 100.0)
    assert book.traffic("a").active == 2
    book.ended("a", "unknown", 50.0, 110.0)
    assert book.traffic("a").active == 1
    book.started("a", "new", 120.0)
    book.ended("a", "new", 120.0, 121.0)
    assert book.traffic("a").active == 1
    book.measured({}, 130.0)
    assert book.traffic("a").active == 0


def test_a_start_that_the_measurement_already_had_is_not_counted_twice() -> None:
    book = TrafficBook()
    book.measured({"a": 1}, 100.0)
    book.started("a", "late", 99.99)
    assert book.traffic("a").active == 1
    book.ended("a", "late", 99.99, 101.0)
    assert book.traffic("a").active == 0


def test_a_start_whose_end_was_lost_is_dropped_after_two_measurements() -> None:
    book = TrafficBook()
    book.started("a", "lost", 10.0)
    book.measured({}, 100.0)
    assert book.traffic("a").active == 1, "its end may be on the way"
    book.measured({}, 105.0)
    assert book.traffic("a").active == 0


def test_a_fresh_start_is_not_dropped_by_measurements_that_do_not_know_it_yet() -> None:
    book = TrafficBook()
    book.started("a", "fresh", 100.0)
    book.measured({}, 100.1)
    book.measured({}, 100.2)
    assert book.traffic("a").active == 1


def test_a_new_envoy_has_no_requests() -> None:
    book = TrafficBook()
    book.started("a", "s", 1.0)
    book.measured({"a": 5}, 2.0)
    book.splicing("a", 1, 3.0)
    book.reset()
    assert book.traffic("a").active == 1, "only the spliced one is left, until its connection breaks"


@given(st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.3))
def test_the_count_is_right_in_the_end(seed: int, lost: float, twice: float) -> None:
    """Random requests with lost and doubled events: two quiet measurements later the count is exact."""
    chance = random.Random(seed)
    book = TrafficBook()
    now, under_way = 1000.0, {}
    for number in range(60):
        now += chance.random()
        if chance.random() < 0.5:
            under_way[f"s{number}"] = now
            for _ in range((chance.random() >= lost) * (1 + (chance.random() < twice))):
                book.started("a", f"s{number}", now)
        elif under_way:
            stream = chance.choice(sorted(under_way))
            began = under_way.pop(stream)
            for _ in range((chance.random() >= lost) * (1 + (chance.random() < twice))):
                book.ended("a", stream, began, now)
        if chance.random() < 0.1:
            book.measured({"a": len(under_way)}, now)
    for _ in range(2):
        now += 5
        book.measured({"a": len(under_way)}, now)
    assert book.traffic("a").active == len(under_way)
