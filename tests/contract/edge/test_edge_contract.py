"""The `Edge` contract, said in its own words only; runs on every implementation (there is one: Envoy)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import Bench, bench, until

from roost.edge import process
from roost.edge.contract import Edge, Endpoint, Route, Traffic


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


@pytest.fixture
def edge(at: Bench) -> Edge:
    return at.edge


async def test_put_and_remove_are_idempotent(edge: Edge, at: Bench) -> None:
    for _ in range(3):
        await edge.put(at.route())
        assert edge.status().routes == 1
        assert (await at.get()).status == 200
    assert at.waker.calls == 0
    for _ in range(3):
        assert await edge.remove("hello")
        assert edge.status().routes == 0
    await at.get()
    assert at.waker.calls == 1


async def test_when_put_returns_the_next_request_goes_straight(edge: Edge, at: Bench) -> None:
    """Acknowledged means: Envoy's workers have it a moment later, and meanwhile nothing is lost."""
    for number in range(30):
        app, host = f"app{number}", f"app{number}.localhost"
        at.waker.apps[host] = (app, at.endpoint)
        await edge.put(Route(app, (host,), (at.endpoint,)))
        assert (await at.get(host=host)).status == 200
    assert at.waker.calls <= 3


async def test_a_later_put_replaces_hosts_and_endpoints(edge: Edge, at: Bench) -> None:
    await edge.put(Route("hello", ("old.localhost", "both.localhost"), (at.endpoint,)))
    await edge.put(Route("hello", ("new.localhost", "both.localhost"), (at.endpoint,)))
    assert [(await at.get(host=f"{name}.localhost")).status for name in ("new", "both", "old")] == [200, 200, 404]


async def test_replace_all_is_the_whole_table(edge: Edge, at: Bench) -> None:
    for name in ("a", "b"):
        await edge.put(Route(name, (f"{name}.localhost",), (at.endpoint,)))
    await edge.replace_all([Route(name, (f"{name}.localhost",), (at.endpoint,)) for name in ("b", "c")])
    assert edge.status().routes == 2
    assert [(await at.get(host=f"{name}.localhost")).status for name in "abc"] == [404, 200, 200]


async def test_puts_and_removes_of_one_app_at_once_end_as_the_last_one_says(edge: Edge, at: Bench) -> None:
    for last in ("put", "remove"):
        calls: list[object] = []
        for _ in range(10):
            calls += [edge.put(at.route()), edge.remove("hello")]
        if last == "put":
            calls.append(edge.put(at.route()))
        await asyncio.gather(*calls)  # type: ignore[call-overload]
        assert edge.status().routes == (last == "put")
        before = at.waker.calls
        assert (await at.get()).status == 200
        assert at.waker.calls - before == (last == "remove")


async def test_traffic_and_drained(edge: Edge, at: Bench) -> None:
    assert edge.traffic("hello") == Traffic()
    assert await edge.drained("hello", timeout=1.0)
    await edge.put(at.route())
    before = time.time()
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: edge.traffic("hello").active == 1)
    assert await edge.remove("hello")
    began = time.monotonic()
    assert not await edge.drained("hello", timeout=0.3)
    assert 0.2 < time.monotonic() - began < 1.0
    waiting = asyncio.create_task(edge.drained("hello", timeout=5.0))
    at.app.release.set()
    assert (await held).status == 200
    assert await waiting
    await until(lambda: edge.traffic("hello").active == 0)
    assert edge.traffic("hello").last_request_at >= before


async def test_an_app_can_be_put_again_while_it_drains(edge: Edge, at: Bench) -> None:
    await edge.put(at.route())
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    assert await edge.remove("hello")
    waiting = asyncio.create_task(edge.drained("hello", timeout=5.0))
    await asyncio.sleep(0.05)
    await edge.put(at.route())
    at.app.release.set()
    await held
    await waiting
    calls = at.waker.calls
    assert (await at.get()).status == 200
    assert at.waker.calls == calls


async def test_deadlines_hold_when_the_proxy_is_stuck(edge: Edge, at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOOKS", 1_000_000)  # else it is killed before it is asked
    await edge.put(Route("early", ("early.localhost",), (at.endpoint,)))
    pid = edge.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        await edge.put(Route("late", ("late.localhost",), (at.endpoint,)), timeout=0.3)
        await edge.put(at.route(), timeout=0.2)
        assert not await edge.remove("early", timeout=0.3), "Envoy has it still"
        assert await edge.remove("late", timeout=0.3), "Envoy never got it"
        assert time.monotonic() - began < 3
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await edge.remove("early")
    await until(lambda: edge.status().connected)
    await edge.put(at.route())
    assert (await at.get()).status == 200
    assert at.waker.calls == 0


async def test_status(edge: Edge, at: Bench) -> None:
    status = edge.status()
    assert status.pid > 0 and status.connected and status.rejected == ""
    await edge.stop(envoy_too=True)
    assert edge.status().pid == 0


async def test_an_endpoint_that_accepts_nothing_holds_nobody_up(edge: Edge, at: Bench) -> None:
    """A route to an address where nobody answers fails alone."""
    await edge.put(Route("hole", ("hole.localhost",), (Endpoint("m", "192.0.2.1", 9),)))
    await edge.put(at.route())
    assert (await at.get()).status == 200
