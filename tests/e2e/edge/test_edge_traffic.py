"""Counting: what `traffic` and `drained` say, against what the app really had."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.e2e.edge.edge_harness import Bench, until

from roost.edge import cell as cell_module
from roost.edge.protos import HTTPAccessLogEntry


@pytest.mark.parametrize("awake", [True, False])
async def test_counts_are_exact(at: Bench, awake: bool) -> None:
    if awake:
        await at.edge.put(at.route())
    assert at.edge.traffic("hello").last_request_at == 0
    held = [asyncio.create_task(at.get("/hold")) for _ in range(37)]
    await until(lambda: at.app.active == 37)
    await until(lambda: at.edge.traffic("hello").active == 37, timeout=0.5)
    await asyncio.gather(*(at.get() for _ in range(50)))
    await until(lambda: at.edge.traffic("hello").active == 37, timeout=0.5)
    assert not await at.edge.drained("hello", timeout=0.2)
    at.app.release.set()
    await asyncio.gather(*held)
    ended = time.time()
    await until(lambda: at.edge.traffic("hello").active == 0, timeout=0.5)
    assert abs(at.edge.traffic("hello").last_request_at - ended) < 0.3
    assert at.edge.traffic("nobody").active == 0


async def test_a_measurement_in_the_middle_of_traffic_does_not_disturb(at: Bench) -> None:
    await at.edge.put(at.route())
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            await at.get()

    clients = [asyncio.create_task(client()) for _ in range(6)]
    for _ in range(30):
        await at.edge._measure()
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*clients)
    await until(lambda: at.edge.traffic("hello").active == 0, timeout=1.0)


async def test_a_lost_end_is_found_out(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await at.edge.put(at.route())
    at.cell.book.started("hello", "a-stream-whose-end-never-came", time.time() - 10)
    assert at.edge.traffic("hello").active == 1
    await at.edge._measure()
    await at.edge._measure()
    assert at.edge.traffic("hello").active == 0
    assert await at.edge.drained("hello", timeout=1.0)


async def test_a_lost_start_is_found_out(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await at.edge.put(at.route())
    monkeypatch.setattr(cell_module.AccessLogSink, "take", lambda self, entry: None)
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    assert at.edge.traffic("hello").active == 0
    await at.edge._measure()
    assert at.edge.traffic("hello").active == 1
    at.app.release.set()
    await held
    await at.edge._measure()
    assert at.edge.traffic("hello").active == 0


async def test_drained_sees_a_request_that_the_log_has_not_told_yet(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await at.edge.put(at.route())
    entries: list[HTTPAccessLogEntry] = []
    monkeypatch.setattr(cell_module.AccessLogSink, "take", lambda self, entry: entries.append(entry))
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    assert await at.edge.remove("hello")
    assert not await at.edge.drained("hello", timeout=0.3)
    at.app.release.set()
    await held
    assert await at.edge.drained("hello", timeout=2.0)
