"""Limits on requests: an app's own, and the operator's by client address. Waits for a bucket are 0.2 s at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.e2e.edge.edge_harness import Bench, bench, until

from roost.edge.contract import Route
from roost.model.rate_limit import RateLimit, RateLimits

FEW = RateLimit(0.1, 3)
PAGE = b"Too many requests."


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, by_address=RateLimit(5, 10)) as made:
        yield made


async def ask(at: Bench, source: str, times: int, host: str = "hello.localhost") -> list[int]:
    """Make requests from a client address, on one connection; return the statuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port, local_addr=(source, 0))
    found = []
    try:
        for _ in range(times):
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            found.append(int(head.split(" ")[1]))
    finally:
        writer.close()
    return found


async def test_an_app_takes_what_its_limit_in_all_allows(at: Bench) -> None:
    await at.edge.put(at.route(limits=RateLimits(in_all=FEW)))
    await at.edge.put(Route("other", ("other.localhost",), (at.endpoint,)))
    assert await ask(at, "127.0.0.1", 2) == [200, 200]
    assert await ask(at, "127.0.0.2", 3) == [200, 429, 429]
    refused = await at.get("/refused", headers="Accept: text/html\r\n")
    assert (refused.status, refused.headers["roost-error"], refused.headers["roost-fault"]) == (
        429, "rate_limited", "client",
    )  # fmt: skip
    assert refused.headers["retry-after"] == "10", "there is room again when a tenth of a request a second has come up"
    assert refused.headers["content-type"].startswith("text/html")
    assert PAGE in refused.body
    assert at.app.requests == 3
    assert (await at.logged("/refused")).error == "rate_limited"
    assert await ask(at, "127.0.0.1", 5, "other.localhost") == [200] * 5
    await at.edge.put(at.route(limits=RateLimits(in_all=RateLimit(20, 1))))
    await until(lambda: _passes(at), what="a new limit holds, and its bucket fills")
    await at.edge.put(at.route())
    assert await ask(at, "127.0.0.1", 20) == [200] * 20


async def _passes(at: Bench) -> bool:
    return await ask(at, "127.0.0.1", 1) == [200]


async def test_an_app_limits_each_address_apart(at: Bench) -> None:
    await at.edge.put(at.route(limits=RateLimits(RateLimit(0.1, 9), FEW)))
    assert await ask(at, "127.0.0.2", 5) == [200, 200, 200, 429, 429]
    assert await ask(at, "127.0.0.3", 4) == [200, 200, 200, 429]
    assert await ask(at, "127.0.0.1", 4) == [200, 200, 200, 429], (
        "what all may ask for is used up; refused ones do not count"
    )


async def test_the_operators_limit_holds_for_all_hosts_together_and_not_for_loopback(at: Bench) -> None:
    await at.edge.put(at.route())
    hosts = ("hello.localhost", "unknown.localhost")
    found = [await ask(at, "127.0.0.2", 6, host) for host in hosts]
    assert found[0] == [200] * 6
    assert found[1][:4] == [404] * 4
    assert found[1][-1] == 429, "also where the activator would answer"
    assert await ask(at, "127.0.0.3", 3) == [200] * 3
    assert await ask(at, "127.0.0.1", 30) == [200] * 30, "a tunnel on this host brings the requests of many"


async def test_what_the_operators_limit_refuses_is_told_as_such_and_takes_nothing_of_the_apps(at: Bench) -> None:
    await at.edge.put(at.route(limits=RateLimits(in_all=RateLimit(0.1, 20))))
    assert await ask(at, "127.0.0.2", 40) == [200] * 10 + [429] * 30
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port, local_addr=("127.0.0.2", 0))
    lies = "Roost-Refuse: name\r\nRoost-Retry-After: 9\r\nAccept: application/json\r\nConnection: close\r\n"
    writer.write(f"GET /over HTTP/1.1\r\nHost: hello.localhost\r\n{lies}\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(-1), 5)).decode().partition("\r\n\r\n")
    writer.close()
    told = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    assert (head.split(" ")[1], told["roost-error"], told["roost-fault"]) == ("429", "rate_limited", "client")
    assert (told["retry-after"], told["content-type"]) == ("1", "application/json")
    assert "rate_limited" in body
    logged = await at.logged("/over")
    assert (logged.status, logged.error) == (429, "rate_limited")
    assert at.app.requests == 10
    assert await ask(at, "127.0.0.1", 11) == [200] * 10 + [429], "the app's bucket has what was not refused before"
    lied = await at.get("/lies", headers="Roost-Refuse: name\r\nRoost-Retry-After: 9\r\n")
    assert (lied.status, lied.headers["retry-after"]) == (429, "10"), "the app's own limit"
