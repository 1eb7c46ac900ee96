"""Queries, tokens, sizes and host names as the API reads them."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.api.auth import tokens_of
from roost.api.console import check_argv, terminal_size
from roost.api.errors import Json
from roost.api.front import host_name
from roost.api.reading import check_source_id, moment, seconds, states
from roost.model.errors import BadInput, NotFound, RoostError, Unauthorized

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("1700000000.5", 1_700_000_000.5),
        ("10m", NOW - 600),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("8000h", 0.0 if NOW < 8000 * 3600 else NOW - 8000 * 3600),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "-5", "nan", "inf", "10 m", "2023-13-01T00:00:00Z", "1e9", "٣"])
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="since"):
        moment(text, NOW)


@given(st.text())
def test_any_text_is_a_moment_or_bad_input(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(moment(text, NOW), float)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 7.0), ("", 7.0), ("5", 5.0), ("1.5", 1.5), (5, 5.0), ("5s", 5.0), ("1m", 60.0)]
)
def test_seconds(value: object, expected: float) -> None:
    assert seconds(value, "timeout", default=7.0, low=1.0, high=60.0) == expected


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.integers())))
def test_seconds_are_within_bounds_or_bad_input(value: object) -> None:
    try:
        assert 1.0 <= seconds(value, "timeout", default=7.0, low=1.0, high=60.0) <= 60.0
    except BadInput as error:
        assert "timeout" in error.message


def test_states() -> None:
    assert states(["started,stopped", " failed "]) == {"started", "stopped", "failed"}
    assert states([]) == states([","]) == frozenset()
    assert "suspended" in states(["settled"])
    assert "settled" not in states(["settled"])
    with pytest.raises(BadInput, match="happy"):
        states(["started,happy"])


@pytest.mark.parametrize("source", ["", "..", "a/b", "-a", "a" * 65, "a\n", "ä", "a.tar"])
def test_source_ids_can_not_leave_their_directory(source: str) -> None:
    with pytest.raises(NotFound):
        check_source_id(source)


@given(st.text(max_size=200))
def test_tokens_never_appear_in_errors(text: str) -> None:
    try:
        found = tokens_of(f"Bearer {text}")
    except Unauthorized as error:
        assert len(text) < 5 or text not in json.dumps(error.to_json())
    else:
        assert ",".join(found) == ",".join(part.strip() for part in text.split(",") if part.strip())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Cloud.Test:80", "cloud.test"),
        ("cloud.test.", "cloud.test"),
        ("[::1]:4280", "[::1]"),
        ("[::1", "[::1]"),
        ("", ""),
        (":80", ""),
    ],
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


def test_console_input() -> None:
    assert terminal_size(["24", 80]) == (24, 80)
    for bad in (None, [], [1], [1, 2, 3], ["a", "b"], [0, 1], [1, 5000], "x", {"a": 1}, [None, None], [1e400, 1]):
        with pytest.raises(RoostError):
            terminal_size(bad)
    assert check_argv([]) == ()
    assert check_argv(["ls", ""]) == ("ls", "")
    for words in ([""], ["a\0"], ["a"] * 2000):
        with pytest.raises(BadInput):
            check_argv(words)


@given(st.recursive(st.none() | st.text() | st.integers() | st.characters(), lambda inner: st.lists(inner)))
def test_any_text_can_be_sent(value: object) -> None:
    assert json.loads(Json(value).body) == value


def test_lone_surrogates_can_be_sent() -> None:
    assert json.loads(Json({"error": "\ud800"}).body) == {"error": "\ud800"}
