"""Requests' bodies at the edge: one that stands still or does not end is ended, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from tests.e2e.edge import raw_h2
from tests.e2e.edge.edge_harness import Bench, bench, until
from tests.e2e.edge.test_http_options import health, rpc

from roost.edge import bodies, bounds

PATIENCE, WHOLE = 0.5, 1.8
STALLED, TOO_SLOW = b"roost-error: body_stalled", b"roost-error: client_too_slow"
UPGRADE = "Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"


@pytest_asyncio.fixture
async def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(bodies, "BODY_PATIENCE", PATIENCE)
    monkeypatch.setattr(bounds, "REQUEST", WHOLE)
    async with bench(tmp_path) as made:
        await made.edge.put(made.route())
        yield made


async def send(
    at: Bench, path: str, pieces: int, *, method: str = "POST", more: str = "Content-Length: 100",
    connection: str = "close",
) -> bytes:  # fmt: skip
    """Send headers, then a byte each fifth of a second; return the answer's first 2 KiB."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: hello.localhost\r\nConnection: {connection}\r\n{more}"
        writer.write(f"{head}\r\n\r\n".encode())
        for _ in range(pieces):
            writer.write(b"x")
            await asyncio.sleep(0.2)
        async with asyncio.timeout(10):
            return await reader.read(2048)
    finally:
        writer.close()


async def by_http2(at: Bench, path: str, *, ends: bool) -> bytes:
    """Ask by GET without a length; return the status, and what is said."""
    async with raw_h2.connected(at.cloud.http_port) as connection:
        connection.ask(1, raw_h2.get("hello.localhost", path), end=ends)
        await connection.over(1, 10)
        return str(connection.statuses[1][-1]).encode() + connection.bodies[1]


async def by_grpc(at: Bench) -> bytes:
    """Say something in a call that was silent in both directions."""
    async with health() as machine:
        await at.edge.put(rpc((machine,)))
        options = (("grpc.default_authority", "rpc.localhost"), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{at.cloud.http_port}", options) as channel:
            talk = channel.stream_stream("/chat.Chat/Talk")(timeout=10)
            await asyncio.sleep(2 * PATIENCE)
            await talk.write(b"at last")
            return bytes(await talk.read())


async def released(at: Bench) -> None:
    await asyncio.sleep(3 * PATIENCE)
    at.app.release.set()


async def test_a_body_that_stands_still_is_ended_and_nothing_else_is(at: Bench) -> None:
    of_post, of_get, chunks, endless, by_get, trickled, slow, upgrade, slow_get, call, _ = await asyncio.gather(
        send(at, "/upload", 1),
        send(at, "/upload", 0, method="GET"),
        send(at, "/hold", 0, more="Transfer-Encoding: chunked"),
        send(at, "/upload", 12),
        by_http2(at, "/hold", ends=False),
        send(at, "/upload", 6, more="Content-Length: 6"),
        send(at, "/hold", 1, more="Content-Length: 1"),
        send(at, "/hold", 0, method="GET", more=UPGRADE, connection="upgrade"),
        by_http2(at, "/hold", ends=True),
        by_grpc(at),
        released(at),
    )
    for answer in (of_post, of_get, chunks):
        assert answer.startswith(b"HTTP/1.1 408"), answer[:300]
        assert STALLED in answer
    assert endless.startswith(b"HTTP/1.1 408"), "it goes on, but for longer than a request may"
    assert TOO_SLOW in endless
    assert by_get.startswith(b"408"), "of a GET by HTTP/2 no header says that there is more"
    assert trickled.startswith(b"HTTP/1.1 200"), "it goes on, if slowly"
    assert slow.startswith(b"HTTP/1.1 200"), "the app may take its time"
    assert upgrade.startswith(b"HTTP/1.1 "), upgrade[:300]
    assert STALLED not in upgrade, "who waits for a WebSocket has nothing to say"
    assert slow_get.startswith(b"200")
    assert call == b"you said at last", "calls may be silent"
    wanted = {"body_stalled", "client_too_slow"}
    await until(lambda: wanted <= {request.error for _, request in at.ended}, what="the log has both classes")
