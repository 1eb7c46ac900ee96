from __future__ import annotations

import pytest

from roost.plan.edge_rollout import Answers, is_worse, suspects


def own(total: int, errors: int) -> dict[str, Answers]:
    return {"a": Answers(total, own=errors)}


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ((1000, 0), (100, 30), True),
        ((1000, 0), (100, 10), False),
        ((0, 0), (19, 19), False),
        ((0, 0), (20, 20), True),
        ((1000, 500), (100, 60), False),
        ((1000, 500), (100, 80), True),
        ((1000, 500), (0, 0), False),
    ],
)
def test_errors_count_by_what_was_usual(before: tuple[int, int], after: tuple[int, int], worse: bool) -> None:
    assert is_worse(own(*before), own(*after)) is worse


def test_what_an_app_answers_never_counts() -> None:
    answers = Answers()
    for error in (
        "app_answered_5xx",
        "app_exited",
        "rate_limited",
        "client_gone",
        "app_at_hard_limit",
        "edge_overloaded",
    ):
        answers = answers.plus(error, 50)
    assert answers == Answers(300)
    assert not is_worse({"a": Answers(100)}, {"a": answers})


def test_an_app_that_is_not_reached_counts_only_when_roostd_reaches_it() -> None:
    before, after = {"a": Answers(100)}, {"a": Answers().plus("app_not_listening", 100)}
    assert suspects(before, after) == {"a"}
    assert not is_worse(before, after)
    assert is_worse(before, after, {"a"})
    assert suspects(after, after) == set(), "it was so before"


def test_broken_answers_of_one_app_are_its_own_and_of_half_of_them_the_edges() -> None:
    well, broken = Answers(100), Answers(100).plus("app_closed_connection", 100)
    before = {app: well for app in "abcd"}
    assert not is_worse({"a": well}, {"a": broken})
    assert not is_worse(before, {**before, "a": broken})
    assert is_worse(before, {**before, "a": broken, "b": broken})
    assert not is_worse({**before, "a": broken}, {**before, "a": broken, "b": broken})


def test_what_nobody_has_says_nothing_of_apps() -> None:
    assert not is_worse({}, {"": Answers().plus("bad_request", 1000), "a": Answers(100)})
