"""What the calls on machines read from queries: bounded waits, events, places in a listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.api.reading import cursor_of, event_id, position_of, wait_timeout
from roost.model.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 60), ("0", 1), ("0.5", 1), ("1", 1), ("10s", 10), ("60", 60), ("2m", 60)]
)
def test_a_wait_is_from_1_to_60_seconds(text: str, seconds: float) -> None:
    assert wait_timeout(text) == seconds


@given(st.floats(0, 1e11), st.text("0123456789abcdef", max_size=14))
def test_a_place_in_a_listing_comes_back_as_it_was(at: float, key: str) -> None:
    assert position_of(cursor_of((at, key))) == (at, key)


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    try:
        at, key = position_of(text)
    except BadInput:
        return
    assert isinstance(at, float)
    assert isinstance(key, str)


@pytest.mark.parametrize("text", ["W10=", "WzEsICJhIl0=", "WyJhIiwgMV0=", "W05hTiwgImEiXQ==", "ä", "=" * 5, "e30="])
def test_these_are_no_cursors(text: str) -> None:
    with pytest.raises(BadInput, match="cursor"):
        position_of(text)


def test_events() -> None:
    assert event_id("") == ""
    assert event_id("01ARZ3NDEKTSV4RRFFQ69G5FAV") == "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    with pytest.raises(BadInput, match="from_event_id"):
        event_id("1")
