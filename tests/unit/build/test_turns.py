"""Waiting for one's turn: it is told once, ends when it is cancelled or takes too long, and the lock is free after."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest

from roost.build.turns import turn
from roost.model.errors import Conflict, TimedOut


def test_one_after_the_other(tmp_path: Path) -> None:
    lock, said, order, never = tmp_path / "lock", list[str](), list[str](), Event()

    def second() -> None:
        with turn(lock, waits_for="the first", patience=10, report=said.append, cancelled=never):
            order.append("second")

    thread = Thread(target=second)
    with turn(lock, waits_for="nobody", patience=10, report=said.append, cancelled=never):
        thread.start()
        while not said:
            assert thread.is_alive()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert said == ["waiting for the first"]


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    lock, cancelled = tmp_path / "lock", Event()
    with turn(lock, waits_for="nobody", patience=1, report=print, cancelled=cancelled):
        with (
            pytest.raises(TimedOut, match="the first does not end"),
            turn(lock, waits_for="the first", patience=0, report=print, cancelled=cancelled),
        ):
            pass
        cancelled.set()
        with (
            pytest.raises(Conflict) as caught,
            turn(lock, waits_for="the first", patience=9, report=print, cancelled=cancelled),
        ):
            pass
        assert caught.value.code == "cancelled"
    with turn(lock, waits_for="nobody", patience=0, report=print, cancelled=cancelled):
        pass
