"""Counting: what `traffic`, `has_requests` and `drained` say, against what the app really had."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.e2e.edge.edge_harness import Bench, until

from roost.edge import upkeep


@pytest.mark.parametrize("awake", [True, False])
async def test_counts_are_exact(at: Bench, awake: bool) -> None:
    if awake:
        await at.edge.put(at.route())
    assert at.edge.traffic("hello").last_request_at == 0
    held = [asyncio.create_task(at.get("/hold")) for _ in range(37)]
    await until(lambda: at.app.active == 37)
    assert await at.edge.has_requests("hello")
    await until(lambda: at.edge.traffic("hello").active == 37, timeout=1.5)
    await asyncio.gather(*(at.get() for _ in range(50)))
    await at.edge._upkeep.measure()
    await until(lambda: at.edge.traffic("hello").active == 37, timeout=1.5)  # a client sees its answer's end first
    assert not await at.edge.drained("hello", timeout=0.2)
    at.app.release.set()
    await asyncio.gather(*held)
    ended = time.time()
    await until(lambda: at.edge.traffic("hello").active == 0, timeout=1.5)
    assert abs(at.edge.traffic("hello").last_request_at - ended) < 1.1
    assert not await at.edge.has_requests("hello")
    assert at.edge.traffic("nobody").active == 0


async def test_an_envoy_that_has_no_app_is_not_asked_for_gauges_and_one_with_an_app_is(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, asked = next(iter(at.edge._cells.values())), 0
    ask = cell.admin.gauges

    async def counted(pattern: str) -> str:
        nonlocal asked
        asked += 1
        return await ask(pattern)

    async def questions() -> int:
        """Return how many questions two readings take."""
        before = asked
        assert await cell.measure() is not None
        assert await cell.measure() is not None
        return asked - before

    async def is_spared() -> bool:
        return await questions() == 0

    monkeypatch.setattr(cell.admin, "gauges", counted)
    await until(is_spared, what="it said once that it counts nothing")
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    assert await questions() >= 2
    assert at.edge.traffic("hello").active == 1
    assert await at.edge.remove("hello")
    assert await questions() >= 2, "its cluster stays while it has a request"
    assert at.edge.traffic("hello").active == 1
    at.app.release.set()
    await held


async def test_an_end_is_known_soon(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PERIOD", 60.0)
    await at.edge.put(at.route())
    await at.get()
    ended = time.time()
    await until(lambda: at.edge.traffic("hello").last_request_at > 0, timeout=1.0)
    assert abs(at.edge.traffic("hello").last_request_at - ended) < 0.05


async def test_drained_waits_for_what_was_under_way_when_the_route_went(at: Bench) -> None:
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    assert await at.edge.remove("hello")
    assert not await at.edge.drained("hello", timeout=0.3)
    at.app.release.set()
    await held
    assert await at.edge.drained("hello", timeout=2.0)
