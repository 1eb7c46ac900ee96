"""When periodic work is due."""

from __future__ import annotations

import pytest

from roost.plan.ticks import until_next


def test_all_that_is_done_each_second_is_due_at_the_same_moments() -> None:
    assert until_next(1.0, 12.25) == pytest.approx(0.75)
    assert until_next(5.0, 12.25) == pytest.approx(2.75)
    assert until_next(0.2, 12.25) == pytest.approx(0.15)


def test_what_is_due_now_is_due_again_a_period_later() -> None:
    assert until_next(1.0, 12.0) == 1.0
