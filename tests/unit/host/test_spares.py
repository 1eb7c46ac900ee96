"""Things made ahead of time: none is lost, none is missed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from roost.host.spares import Spares
from roost.model.errors import HostFailure


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.0005)


def test_no_refill_is_missed_as_the_one_before_ends() -> None:
    numbers = itertools.count()
    spares: Spares[int] = Spares(lambda: next(numbers), lambda _number: None, number=1, name="test")
    for expected in range(1000):
        spares.refill()
        until(lambda: len(spares) == 1, "a refill was missed")
        assert spares.take() == expected
    assert spares.take() is None


def test_what_is_made_while_it_closes_is_dropped() -> None:
    making, go_on, dropped = threading.Event(), threading.Event(), []

    def make() -> str:
        making.set()
        go_on.wait(5)
        return "late"

    spares = Spares(make, dropped.append, number=2, name="test")
    spares.refill()
    assert making.wait(5)
    spares.close()
    go_on.set()
    until(lambda: dropped == ["late"], "it was kept")
    spares.refill()
    assert spares.take() is None
    spares.close()
    assert dropped == ["late"]


@pytest.mark.parametrize("error", [HostFailure("no"), OSError(28, "full")])
def test_what_could_not_be_made_is_tried_again_when_asked(error: Exception) -> None:
    attempts = 0

    def make() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise error
        return attempts

    spares = Spares(make, lambda _number: None, number=1, name="test")
    spares.refill()
    until(lambda: attempts == 1, "nothing was tried")

    def again() -> bool:
        spares.refill()
        return len(spares) == 1

    until(again, "it was not tried again")


def test_none_are_made_where_none_are_wanted() -> None:
    spares: Spares[int] = Spares(lambda: 1, lambda _number: None, number=0, name="test")
    spares.refill()
    assert (len(spares), spares.take()) == (0, None)
