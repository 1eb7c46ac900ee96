from __future__ import annotations

import pytest

from roost.plan.edge_rollout import Answers, is_worse


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ((1000, 0), (1100, 30), True),
        ((1000, 0), (1100, 10), False),
        ((0, 0), (19, 19), False),
        ((0, 0), (20, 20), True),
        ((1000, 500), (1100, 560), False),
        ((1000, 500), (1100, 580), True),
        ((1000, 500), (1000, 500), False),
    ],
)
def test_errors_count_by_what_was_usual(before: tuple[int, int], after: tuple[int, int], worse: bool) -> None:
    assert is_worse(Answers(*before), Answers(*after)) is worse


def test_what_is_usual_is_what_was_just_before() -> None:
    away = Answers(100, 90)  # most of it while roostd was away
    assert is_worse(Answers(150, 90), Answers(200, 140), away)
    assert not is_worse(Answers(110, 90), Answers(200, 150), away), "too few: all of its life counts"
    assert not is_worse(Answers(200, 190), Answers(300, 290), away)
