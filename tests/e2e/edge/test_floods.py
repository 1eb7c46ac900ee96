"""Clients that mean harm: each is stopped in time, other clients hardly notice, and Envoy does not grow.

The waits of the edge are shortened for these tests (`bounds`), everything else is as in service.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import Bench, bench, fetch, resident, until
from tests.e2e.edge.raw_h2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    block,
    connected,
    frame,
    get,
)  # fmt: skip
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from roost.edge import bootstrap, bounds, cell_plan, front_plan
from roost.edge.bootstrap import Caps
from roost.edge.contract import Endpoint, Route

SLOWEST = 2.0  # seconds, of another client's requests meanwhile; with two busy processors and the attacker beside it
GROWTH = 64 << 20  # bytes by which Envoy may grow
HOST = "hello.localhost"
SMALL_WINDOW = struct.pack(">HI", 4, 1)  # a setting: the other side may send one byte of a body


class Victim:
    """Another client, which asks one after the other, each time on a new connection."""

    def __init__(self, at: Bench) -> None:
        self._at, self.times, self._before = at, [0.0], resident(at)
        self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        while True:
            began = time.monotonic()
            answer = await fetch(self._at.cloud.http_port, HOST, "/victim")
            assert answer.status == 200
            self.times.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    async def judge(self) -> None:
        """Fail if a request of this client failed or took long, or if Envoy grew."""
        await self._at.get("/last")
        assert not self._task.done(), "the other client's request failed"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert len(self.times) > 1
        assert max(self.times) < SLOWEST
        assert resident(self._at) - self._before < GROWTH


@pytest_asyncio.fixture
async def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(bounds, "HEADERS", 0.5)
    monkeypatch.setattr(bounds, "REQUEST", 0.6)
    monkeypatch.setattr(bounds, "FLUSH", 0.5)
    monkeypatch.setattr(bounds, "UNREAD", 1000)
    async with bench(tmp_path) as made:
        await made.edge.put(made.route())
        yield made


async def _drip(port: int, first: bytes, drop: bytes) -> tuple[float, bytes]:
    """Send `first`, then a drop every 50 ms; return how long that went well, and what was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(first)
    answer = asyncio.create_task(reader.read(-1))
    try:
        async with asyncio.timeout(8):
            while not answer.done():
                with contextlib.suppress(ConnectionError):
                    writer.write(drop)
                await asyncio.wait([answer], timeout=0.05)
        with contextlib.suppress(ConnectionError):
            return time.monotonic() - began, answer.result()
        return time.monotonic() - began, b""
    finally:
        answer.cancel()
        writer.transport.abort()


async def test_slow_headers_and_slow_bodies_end_in_time(at: Bench) -> None:
    victim = Victim(at)
    port = at.cloud.http_port
    head = f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\n".encode()
    heads = [_drip(port, head, b"x: y\r\n") for _ in range(40)]
    bodies = [_drip(port, head + b"Content-Length: 100000\r\n\r\n", b"z") for _ in range(40)]
    silent = [_drip(port, first, b"") for first in (head, head + b"Content-Length: 100000\r\n\r\n")]
    first, second, *ends = await asyncio.gather(*silent, *heads, *bodies)
    assert first[1].startswith(b"HTTP/1.1 408 ")
    assert second[1].startswith(b"HTTP/1.1 408 ")
    assert max(seconds for seconds, _ in ends) < 5.0
    assert {answer[9:12] for _, answer in ends} <= {b"408", b""}
    await victim.judge()


async def test_a_web_socket_and_a_stream_outlive_what_bounds_a_request(at: Bench) -> None:
    async def late(ws: ServerConnection) -> None:
        await asyncio.sleep(1.0)
        await ws.send("late")

    async with serve(late, "127.0.0.1", 0) as server:
        route = at.route()
        endpoint = replace(route.endpoints[0], port=next(iter(server.sockets)).getsockname()[1])
        await at.edge.put(replace(route, endpoints=(endpoint,)))
        async with connect(f"ws://{HOST}/", host="127.0.0.1", port=at.cloud.http_port) as ws:
            assert await asyncio.wait_for(ws.recv(), 5) == "late"


async def test_a_complete_answer_that_is_not_read_is_given_up(at: Bench) -> None:
    victim = Victim(at)
    async with connected(at.cloud.http_port, settings=SMALL_WINDOW) as link:
        for stream in range(1, 81, 2):
            link.ask(stream, get(HOST, "/slow"))
        for stream in range(1, 81, 2):
            await link.over(stream, 5.0)
        assert all(stream in link.resets for stream in range(1, 81, 2)) or link.closed
    await victim.judge()


async def pouring(gone: asyncio.Event) -> asyncio.Server:
    """An app whose answer never ends; sets `gone` when one of those who asked is gone."""

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        gone.set()

    return await asyncio.start_server(pour, "127.0.0.1", 0, backlog=1024)


async def test_what_is_sent_and_never_taken_is_given_up_by_the_kernel(at: Bench) -> None:
    """An endless answer and a client whose window stays shut, on a stream that may be silent for ever."""
    gone = asyncio.Event()
    server = await pouring(gone)
    try:
        route = at.route()
        endpoint = replace(route.endpoints[0], port=server.sockets[0].getsockname()[1])
        await at.edge.put(replace(route, endpoints=(endpoint,)))
        with socket.create_connection(("127.0.0.1", at.cloud.http_port)) as link:
            link.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await asyncio.wait_for(gone.wait(), 8.0)
    finally:
        server.close()


async def held_for_each(at: Bench, port: int, request: bytes) -> float:
    """Return the bytes that Envoy holds for each of many clients that ask and take nothing."""
    links = [socket.socket() for _ in range(150)]
    try:
        before = resident(at)
        for link in links:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.connect(("127.0.0.1", port))
            link.sendall(request)
        held = 0
        while (now := resident(at)) > held:  # until it reads no more
            held = now
            await asyncio.sleep(0.2)
        return (held - before) / len(links)
    finally:
        for link in links:
            link.close()


async def test_clients_that_take_nothing_have_the_edge_hold_little(at: Bench) -> None:
    server = await pouring(asyncio.Event())
    try:
        route = at.route()
        endpoint = replace(route.endpoints[0], port=server.sockets[0].getsockname()[1])
        await at.edge.put(replace(route, endpoints=(endpoint,)))
        request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        assert await held_for_each(at, at.cloud.http_port, request) < 240_000
    finally:
        server.close()


async def test_who_takes_nothing_gives_back_what_is_held_when_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams whose window stays shut, which nothing else ends."""
    monkeypatch.setattr(cell_plan, "Caps", lambda **more: Caps(**{**more, "heap_bytes": 64 << 20}))
    monkeypatch.setattr(bootstrap, "SILENT_WHEN_SHORT", 0.3)

    server = await pouring(asyncio.Event())
    try:
        async with bench(tmp_path) as at, contextlib.AsyncExitStack() as stack:
            await at.edge.put(at.route())
            there = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
            await at.edge.put(Route("pour", ("pour.localhost",), (there,)))
            links = [
                await stack.enter_async_context(connected(at.cloud.http_port, settings=SMALL_WINDOW)) for _ in range(4)
            ]
            for stream in range(1, 200, 2):
                for link in links:
                    link.ask(stream, get("pour.localhost"))

            def over() -> int:
                """Also counts who was told so because the app was slow to answer: nothing of an answer is held then."""
                told = [{stream for stream, (status, *_) in link.statuses.items() if status >= 500} for link in links]
                return sum(len(link.resets.keys() | late) for link, late in zip(links, told, strict=True))

            await until(lambda: over() > 200, 10, "most of the 400 are ended")

            async def is_well() -> bool:
                return (await at.get()).status == 200

            await until(is_well, 5, "others are served again")
    finally:
        server.close()


async def _rapid_reset(link: Connection) -> None:
    for stream in range(1, 40_001, 2):
        link.send(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, block(get(HOST))),
            frame(RST_STREAM, 0, stream, b"\0\0\0\x08"),
        )
        if stream % 200 == 1:
            await _flush(link)


async def _continuations(link: Connection) -> None:
    link.send(frame(HEADERS, END_STREAM, 1, block(get(HOST))))
    for _ in range(4000):
        link.send(frame(CONTINUATION, 0, 1, block([(b"x", b"y" * 1000)])))
        await _flush(link)


async def _empty_continuations(link: Connection) -> None:
    link.send(frame(HEADERS, END_STREAM, 1, block(get(HOST))))
    for _ in range(2000):
        link.send(frame(CONTINUATION, 0, 1) * 50)
        await _flush(link)


async def _hpack_bomb(link: Connection) -> None:
    """One large entry of the table, named thousands of times by a byte each."""
    entry = b"\x40\x01x\x7f\x81\x1e" + b"y" * 4000
    for stream in range(1, 4001, 2):
        link.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(get(HOST)) + entry + b"\xbe" * 4000))
        entry = b""
        await _flush(link)


async def _header_count(link: Connection) -> None:
    many = [(b"x%d" % n, b"y") for n in range(2000)]
    for stream in range(1, 2001, 2):
        link.send(*_split(stream, block([*get(HOST), *many])))
        await _flush(link)


def _split(stream: int, data: bytes) -> list[bytes]:
    pieces = [data[at : at + 16000] for at in range(0, len(data), 16000)]
    first = frame(HEADERS, END_STREAM | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0])
    rest = [
        frame(CONTINUATION, END_HEADERS if n == len(pieces) - 1 else 0, stream, p) for n, p in enumerate(pieces) if n
    ]
    return [first, *rest]


async def _pings_unread(link: Connection) -> None:
    await _unread(link, frame(PING, 0, 0, b"01234567"))


async def _settings_unread(link: Connection) -> None:
    await _unread(link, frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)))


async def _unread(link: Connection, one: bytes) -> None:
    link.pause()
    for _ in range(3000):
        link.send(one * 200)
        await _flush(link)


async def _empty_data(link: Connection) -> None:
    link.ask(1, get(HOST, "/upload", "POST"), end=False)
    for _ in range(1000):
        link.send(frame(DATA, 0, 1) * 10)
        await _flush(link)


async def _priorities(link: Connection) -> None:
    for _ in range(1000):
        link.send(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 50)
        await _flush(link)


async def _windows(link: Connection) -> None:
    link.ask(1, get(HOST, "/hold"))
    for _ in range(1000):
        link.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01") * 50)
        await _flush(link)


async def _streams(link: Connection) -> None:
    """More streams at once than are allowed, each open."""
    for stream in range(1, 100_001, 2):
        link.ask(stream, get(HOST, "/hold"))
        if stream % 100 == 1:
            await _flush(link)


async def _flush(link: Connection) -> None:
    """Let what was written go, and the others run."""
    if link.closed or link.goaway is not None:
        raise ConnectionResetError
    async with asyncio.timeout(10):
        await link.writer.drain()
    await asyncio.sleep(0)


FLOODS: list[Callable[[Connection], Awaitable[None]]] = [
    _rapid_reset, _continuations, _empty_continuations, _hpack_bomb, _header_count, _pings_unread, _settings_unread,
    _empty_data, _priorities, _windows, _streams,
]  # fmt: skip


async def test_floods_of_frames_end_their_connections(at: Bench) -> None:
    """All of them at once."""
    victim = Victim(at)

    async def ended(flood: Callable[[Connection], Awaitable[None]]) -> str:
        async with connected(at.cloud.http_port) as link:
            try:
                await flood(link)
                await link.end(5.0)
            except TimeoutError:
                return flood.__name__
            except OSError:
                pass  # it was hung up on in the middle
            return ""

    assert "".join(await asyncio.gather(*map(ended, FLOODS))) == ""
    await victim.judge()


async def test_with_several_cells_the_front_stands_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_plan, "FIRST_BYTES", "500ms")
    async with bench(tmp_path, cells=2) as at:
        await at.edge.put(at.route())
        victim = Victim(at)
        head = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
        ends = await asyncio.gather(*(_drip(at.cloud.http_port, head, b"x: y\r\n") for _ in range(100)))
        assert max(seconds for seconds, _ in ends) < 5.0
        async with connected(at.cloud.http_port) as link:
            with pytest.raises(OSError):
                await _rapid_reset(link)
        await victim.judge()
