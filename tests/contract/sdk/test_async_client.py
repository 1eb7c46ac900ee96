"""The async client against the real API: the same calls, awaited; streams and the console; many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_world import ADMIN

from roost.model.errors import BadInput, NotFound, RateLimited, TimedOut, Unprocessable
from roost.sdk import AsyncClient, Client, Unreachable

CONFIG = {"image": "roost/base:bookworm"}
TOKEN = ADMIN["Authorization"].partition(" ")[2]


@pytest.fixture
async def aclient(address: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(address, TOKEN, timeout=10) as found:
        yield found


async def test_calls(aclient: AsyncClient) -> None:
    assert (await aclient.apps.create("shop"))["name"] == "shop"
    made = await asyncio.gather(*(aclient.machines.create("shop", CONFIG, name=f"m{n}") for n in range(5)))
    assert len({machine["id"] for machine in made}) == 5
    key = made[0]["id"]
    lease = await aclient.machines.lease("shop", key, ttl=60, description="mine")
    assert (await aclient.machines.current_lease("shop", key))["description"] == "mine"
    await aclient.machines.release("shop", key, lease["nonce"])
    with pytest.raises(NotFound):
        await aclient.machines.current_lease("shop", key)
    with pytest.raises(TimedOut):
        await aclient.machines.wait("shop", key, state="stopped", timeout=1)
    assert sorted([m["name"] async for m in aclient.platform.machines("personal", page=2)]) == [
        f"m{n}" for n in range(5)
    ]
    assert (await aclient.platform.regions())[0]["code"]
    assert (await aclient.platform.placements("personal", count=2))[0]["count"] == 2
    with pytest.raises(NotFound):
        await aclient.apps.get("other")


async def test_operations_and_logs(aclient: AsyncClient) -> None:
    await aclient.apps.create("shop")
    begun = await aclient.deploys.start("shop", image="debian:bookworm")
    told = [progress async for progress in aclient.operations.follow(begun["id"])]
    assert [(p.number, p.kind) for p in told] == [(1, "step"), (2, "log"), (3, "done")]
    assert [line["message"] async for line in aclient.logs.read("shop", limit=5)] == ["line 0", "line 1", "line 2"]
    follower = aclient.logs.follow("shop", since=1_700_000_000.0)
    assert (await anext(follower))["message"] == "line 0"
    await follower.aclose()


async def test_console(aclient: AsyncClient) -> None:
    await aclient.apps.create("shop")
    key = (await aclient.machines.create("shop", CONFIG))["id"]
    console = await aclient.machines.console("shop", key, ["sh", "-c", "read x; echo got $x; exit 7"])
    await console.write(b"hello\n")
    assert b"got hello" in b"".join([data async for data in console])
    assert console.exit_code == 7
    await console.close()
    with pytest.raises(NotFound):
        await aclient.machines.console("shop", "00000000000000")


async def test_uploads_of_both_kinds_of_iterables(aclient: AsyncClient) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"not a gzip"

    for chunks in (iter([b"not a gzip"]), slowly()):
        with pytest.raises(BadInput):
            await aclient.sources.upload(chunks)


async def test_a_key_of_the_callers_makes_a_change_once(aclient: AsyncClient, client: Client) -> None:
    await aclient.keyed("order-17").apps.create("shop")
    assert (await aclient.keyed("order-17").apps.create("shop"))["name"] == "shop"
    assert client.keyed("order-17").apps.create("shop")["name"] == "shop"
    with pytest.raises(Unprocessable):
        client.keyed("order-17").apps.create("other")
    with pytest.raises(BadInput):
        client.keyed("")


async def test_a_refused_connection_says_so() -> None:
    async with AsyncClient("http://127.0.0.1:9", "t", patience=0) as nobody:
        with pytest.raises(Unreachable, match="refused"):
            await nobody.apps.list()
        with pytest.raises(Unreachable):
            await nobody.machines.console("shop", "00000000000000")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 503])
async def test_what_may_be_tried_again_is(method: str, status: int) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(dict(request.headers))
        if len(asked) == 1:
            return httpx2.Response(status, json={"error": "later"}, headers={"Retry-After": "0"})
        return httpx2.Response(200, json={"name": "shop"})

    async with AsyncClient("http://127.0.0.1:9", "t", http=httpx2.MockTransport(answer)) as busy:
        if method == "POST" and status == 503:
            with pytest.raises(Exception, match="later"):
                await busy.apps.create("shop")
            assert len(asked) == 1
            return
        assert await (busy.apps.get("shop") if method == "GET" else busy.apps.create("shop")) == {"name": "shop"}
    assert len({headers.get("idempotency-key") for headers in asked}) == 1
    assert len(asked) == 2


async def test_a_limit_that_lasts_longer_than_the_patience_is_the_callers() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(429, json={"error": "slow down"}, headers={"Retry-After": "60"})

    async with AsyncClient("http://127.0.0.1:9", "t", http=httpx2.MockTransport(answer)) as busy:
        with pytest.raises(RateLimited) as limited:
            await busy.apps.list()
    assert limited.value.hint == "try again in 60 s"
