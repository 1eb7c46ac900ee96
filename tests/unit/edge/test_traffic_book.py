"""The traffic book: what the log, the activator and Envoy's gauges tell, put together."""

from __future__ import annotations

from roost.edge.contract import Traffic
from roost.edge.traffic import TrafficBook


def test_ends_are_the_latest_whatever_their_order() -> None:
    book = TrafficBook()
    assert book.traffic("a") == Traffic(0, 0.0)
    book.ended({"a": 5.0})
    book.ended({"a": 4.0, "b": 1.0})
    assert book.traffic("a") == Traffic(0, 5.0)
    assert book.traffic("b") == Traffic(0, 1.0)


def test_what_a_reading_finds_under_way_counts_until_the_next_and_is_as_late_as_the_reading() -> None:
    book = TrafficBook()
    book.measured({"a": 2}, 100.0)
    assert book.traffic("a") == Traffic(2, 100.0)
    book.ended({"a": 100.5})
    assert book.traffic("a") == Traffic(2, 100.5)
    book.measured({}, 101.0)
    assert book.traffic("a") == Traffic(0, 100.5)


def test_spliced_requests_count_too() -> None:
    book = TrafficBook()
    book.splicing("a", 1, 3.0)
    book.measured({"a": 1}, 4.0)
    assert (book.traffic("a").active, book.spliced("a")) == (2, 1)
    book.splicing("a", -1, 6.0)
    assert book.traffic("a") == Traffic(1, 6.0)


def test_a_new_envoy_has_no_requests() -> None:
    book = TrafficBook()
    book.measured({"a": 5}, 2.0)
    book.splicing("a", 1, 3.0)
    book.reset()
    assert book.traffic("a").active == 1, "only the spliced one is left, until its connection breaks"


def test_a_later_app_of_the_name_begins_with_nothing() -> None:
    book = TrafficBook()
    book.ended({"a": 5.0})
    book.forget("a")
    assert book.traffic("a") == Traffic(0, 0.0)
    book.splicing("a", 1, 6.0)
    book.forget("a")
    assert book.traffic("a") == Traffic(1, 6.0), "what goes on is counted to its end"
