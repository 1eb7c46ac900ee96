"""When keys of identity tokens sign, are published and go."""

from __future__ import annotations

from roost.plan.signing_keys import PUBLISHED_AFTER, PUBLISHED_BEFORE, SIGNS_FOR, schedule

T = 1_700_000_000.0
SWITCH = T + SIGNS_FOR + PUBLISHED_BEFORE  # when the second key begins to sign


def test_the_first_key_signs_at_once() -> None:
    assert schedule([], T).due
    first = schedule([T], T)
    assert (first.signs, first.published, first.gone, first.due) == (0, (0,), (), False)


def test_a_key_is_replaced_in_time() -> None:
    assert not schedule([T], T + SIGNS_FOR - 1).due
    assert schedule([T], T + SIGNS_FOR).due


def test_the_next_key_is_published_before_it_signs_and_the_last_one_after() -> None:
    made = [T, T + SIGNS_FOR]
    assert schedule(made, SWITCH - 1) == schedule(made, T + SIGNS_FOR)
    waiting, taken, over = (schedule(made, at) for at in (SWITCH - 1, SWITCH, SWITCH + PUBLISHED_AFTER))
    assert (waiting.signs, waiting.published, waiting.gone) == (0, (0, 1), ())
    assert (taken.signs, taken.published, taken.gone) == (1, (0, 1), ())
    assert (over.signs, over.published, over.gone) == (1, (1,), (0,))


def test_a_key_made_again_soon_leaves_no_moment_without_one() -> None:
    made = [T, T + 10, T + 20]
    soon = schedule(made, T + 30)
    assert (soon.signs, soon.published) == (0, (0, 1, 2))
    later = schedule(made, T + 20 + PUBLISHED_BEFORE)
    assert (later.signs, later.published) == (2, (0, 1, 2))


def test_a_clock_that_went_back_changes_nothing_for_good() -> None:
    plan = schedule([T, T + SIGNS_FOR], T - 1000)
    assert (plan.signs, plan.published, plan.gone, plan.due) == (0, (0, 1), (), False)
