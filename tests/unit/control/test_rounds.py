"""Rounds go on after one that failed, and rest after one that took long."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from roost.control.rounds import repeat


def _times(took: float, *, every: float, rest: float) -> list[float]:
    """Return when four rounds began, the second of which fails."""
    began: list[float] = []
    done = asyncio.Event()

    async def work() -> None:
        began.append(asyncio.get_running_loop().time())
        if len(began) == 4:
            done.set()
        await asyncio.sleep(took)
        if len(began) == 2:
            raise RuntimeError("a round failed")

    async def run() -> None:
        rounds = asyncio.create_task(repeat(work, "working", every=every, rest=rest))
        async with asyncio.timeout(10):
            await done.wait()
        rounds.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rounds

    asyncio.run(run())
    return began


def test_a_round_that_fails_is_not_the_last() -> None:
    assert len(_times(0, every=0.001, rest=0)) == 4


def test_the_rest_is_as_long_as_the_work_asks() -> None:
    began = _times(0.02, every=0.001, rest=2)
    assert all(later - earlier >= 0.058 for earlier, later in pairwise(began))


def test_work_that_takes_longer_than_its_period_does_not_follow_on_itself() -> None:
    began = _times(0.06, every=0.05, rest=0)
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(began))
