"""Requests and connections are of one moment: those kept for later are no requests, and those of before are told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.e2e.edge.edge_harness import Bench, until

from roost.control.loads import CurrentLoads


async def test_kept_connections_are_no_requests(at: Bench) -> None:
    await at.edge.put(at.route())
    core: Any = SimpleNamespace(edge=at.edge, now=lambda: 1.0)
    loads = CurrentLoads(core)
    most: list[int] = []

    async def seen() -> int:
        reading = loads.read()
        found = (reading.loads if reading else None) or {}
        most.append(found["hello"].requests if "hello" in found else 0)
        return most[-1]

    async def held() -> bool:
        return await seen() == 2

    hold = [asyncio.create_task(at.get("/hold")) for _ in range(2)]
    await until(held, what="two requests are seen")
    most.clear()
    before = at.cell.gauges
    await until(lambda: at.cell.gauges is not before, what="a reading, so that the next is not amid what comes now")
    await asyncio.gather(*(at.get() for _ in range(40)))  # in an instant: each leaves a connection behind
    for _ in range(25):  # over a reading and more
        await seen()
        await asyncio.sleep(0.05)
    assert max(most) == min(most) == 2
    at.app.release.set()
    await asyncio.gather(*hold)


async def test_a_request_from_before_its_cluster_was_changed_is_told_at_every_moment(at: Bench) -> None:
    await at.edge.put(at.route())
    core: Any = SimpleNamespace(edge=at.edge, now=lambda: 1.0)
    loads = CurrentLoads(core)

    async def seen() -> int:
        reading = loads.read()
        return reading.loads["hello"].requests if reading and reading.loads else 0

    async def held() -> bool:
        return await seen() == 1

    hold = asyncio.create_task(at.get("/hold"))
    await until(held, what="it is seen")
    await at.edge.put(at.route(soft_limit=5))  # from now on Envoy counts this machine's requests anew
    ends = asyncio.get_running_loop().time() + 3.0  # seconds: some readings
    told = set()
    while asyncio.get_running_loop().time() < ends:
        told.add(await seen())
        await asyncio.sleep(0)
    assert told == {1}
    at.app.release.set()
    await hold


async def test_connections_that_are_opened_amid_a_reading_are_no_requests(at: Bench) -> None:
    await at.edge.put(at.route())

    async def loads_late() -> Any:
        await asyncio.gather(*(at.get() for _ in range(40)))  # after the gauges, before the kernel is asked again
        return await at.edge.loads()

    edge = SimpleNamespace(around_reading=at.edge.around_reading, loads=loads_late)
    core: Any = SimpleNamespace(edge=edge, now=lambda: 1.0)
    loads, told = CurrentLoads(core), []
    for _ in range(3):
        before = loads.read()
        await until(lambda before=before: loads.read() not in (None, before), what="a new reading")
        reading = loads.read()
        assert reading and reading.loads
        told.append(reading.loads["hello"].requests)
    assert told == [0, 0, 0]
