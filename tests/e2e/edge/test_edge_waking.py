"""The activator with a real Envoy before it: holding, joining, cancelling, refusing, upgrading."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.e2e.edge.edge_harness import Bench, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from roost.edge import activator
from roost.edge.contract import Endpoint, Route


async def test_a_request_is_held_until_the_app_is_awake(at: Bench) -> None:
    at.waker.gate = asyncio.Event()
    held = asyncio.create_task(at.get(method="POST", body=b"x" * 1_000_000, path="/upload"))
    await until(lambda: at.edge.status().detail["waiting"] == 1)
    assert at.app.requests == 0
    at.waker.gate.set()
    assert (await held).json()["size"] == "1000000"


async def test_many_requests_to_a_sleeping_app_wake_it_once_and_all_are_answered(at: Bench) -> None:
    at.waker.gate = asyncio.Event()
    held = [asyncio.create_task(at.get(f"/{n}")) for n in range(200)]
    await until(lambda: at.edge.status().detail["waiting"] == 200, timeout=20, what="all wait at once")
    at.waker.gate.set()
    answers = await asyncio.gather(*held)
    assert [answer.status for answer in answers] == [200] * 200
    assert at.waker.starts == 1
    assert {answer.json()["request"] for answer in answers} == {f"GET /{n} HTTP/1.1" for n in range(200)}


async def test_requests_are_answered_while_the_route_is_put(at: Bench) -> None:
    """The change from the activator to the direct way loses nothing, nor does the way back."""
    statuses: list[int] = []
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            statuses.append((await at.get()).status)

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for _ in range(20):
        await at.edge.put(at.route())
        await asyncio.sleep(0.01)
        assert await at.edge.remove("hello")
        await at.edge.drained("hello", timeout=0.1)
    stop.set()
    await asyncio.gather(*clients)
    assert set(statuses) == {200}
    assert len(statuses) > 100


async def test_a_client_that_leaves_cancels_its_wait(at: Bench) -> None:
    at.waker.gate = asyncio.Event()
    for body in (b"", b"Content-Length: 10\r\n\r\nabc"):
        _, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n" + (body or b"\r\n"))
        await until(lambda: at.edge.status().detail["waiting"] == 1)
        writer.close()
        await until(lambda: at.edge.status().detail["waiting"] == 0)
    assert at.waker.cancelled == 2


async def test_too_many_waiting_are_refused_and_the_others_served(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activator, "MAX_WAITING_PER_HOST", 5)
    at.waker.gate = asyncio.Event()
    held = [asyncio.create_task(at.get()) for _ in range(5)]
    await until(lambda: at.edge.status().detail["waiting"] == 5)
    refused = await at.get()
    assert (refused.status, refused.headers["roost-error"]) == (503, "too_many_waiting")
    assert "retry-after" in refused.headers
    assert (await at.get(host="other.localhost")).status == 404
    at.waker.gate.set()
    assert [answer.status for answer in await asyncio.gather(*held)] == [200] * 5


async def test_a_refused_upload_gets_its_answer(at: Bench) -> None:
    answer = await at.get("/upload", host="nobody.localhost", method="POST", body=b"x" * 20_000_000)
    assert answer.status == 404


async def test_a_waker_that_breaks_is_the_clouds_fault(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(host: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(at.waker, "wake", broken)
    answer = await at.get()
    assert (answer.status, answer.headers["roost-fault"]) == (503, "cloud")
    assert b"secret" not in answer.body


@asynccontextmanager
async def _websocket_app() -> AsyncIterator[int]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def test_websockets_work_through_both_paths_and_count_as_active(at: Bench) -> None:
    async with _websocket_app() as port:
        endpoint = Endpoint("m", "127.0.0.1", port)
        at.waker.apps["ws.localhost"] = ("ws", endpoint)
        url = f"ws://ws.localhost:{at.cloud.http_port}/"
        async with connect(url, host="127.0.0.1", port=at.cloud.http_port, proxy=None) as first:
            await first.send(b"x" * 300_000)
            assert await first.recv() == b"x" * 300_000
            assert at.edge.traffic("ws").active == 1
            await at.edge.put(Route("ws", ("ws.localhost",), (endpoint,)))
            async with connect(url, host="127.0.0.1", port=at.cloud.http_port, proxy=None) as second:
                await second.send("direct")
                assert await second.recv() == "direct"
                await until(lambda: at.edge.traffic("ws").active == 2)
                assert await at.edge.remove("ws")
                assert not await at.edge.drained("ws", timeout=0.3)
                await first.send("still here")
                assert await first.recv() == "still here"
                await second.send("and here")
                assert await second.recv() == "and here"
            assert not await at.edge.drained("ws", timeout=0.2), "the one through the activator is still there"
        assert await at.edge.drained("ws", timeout=5.0)
        await until(lambda: at.edge.traffic("ws").active == 0)
        assert at.waker.calls == 1


async def test_a_stream_that_its_client_leaves_ends_at_the_app(at: Bench) -> None:
    for put in (False, True):
        if put:
            await at.edge.put(at.route())
        reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
        writer.write(b"GET /drip HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert at.app.active == 1
        writer.close()
        await until(lambda: at.app.active == 0)


async def test_nothing_is_left_open_after_a_thousand_requests(at: Bench) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(10):
        await asyncio.gather(*(at.get() for _ in range(100)))
    await until(lambda: at.edge.traffic("hello").active == 0)
    assert at.edge.status().detail["waiting"] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss < 100_000
