"""Checks against real sockets on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests import ports

from roost.host.health import check, listens_on_loopback_only, wait_port
from roost.model.machine_config import Check

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(data: bytes, seen: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(data)
        await writer.drain()

    return handle


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


async def test_tcp_check_passes_on_a_connection_and_fails_without(free_port: int) -> None:
    async with serving(answering(b"")) as port:
        assert (await check(Check(port=port), "127.0.0.1")).passing
    result = await check(Check(port=free_port), "127.0.0.1")
    assert not result.passing
    assert not result.listening
    assert "Connection refused" in result.output


@pytest.mark.parametrize(
    ("answer", "passing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", False),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nboom", False),
        (b"\x16\x03\x01 not http at all\r\n\r\n", False),
        (b"", False),
    ],
)
async def test_http_check_passes_on_2xx_only(answer: bytes, passing: bool) -> None:
    async with serving(answering(answer)) as port:
        result = await check(Check(port=port, type="http", path="/up"), "127.0.0.1")
    assert result.passing is passing, result
    assert result.listening


async def test_http_check_sends_method_path_and_headers() -> None:
    seen: list[bytes] = []
    async with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n", seen)) as port:
        asked = Check(
            port=port, type="http", method="HEAD", path="/up?x=1", headers=(("Host", "a.example"), ("X-A", "b"))
        )
        assert (await check(asked, "127.0.0.1")).passing
    head = seen[0].lower()
    assert head.startswith(b"head /up?x=1 http/1.1\r\n")
    assert head.count(b"host:") == 1
    assert b"host: a.example\r\n" in head
    assert b"x-a: b\r\n" in head


async def test_letters_beyond_ascii_are_sent_as_browsers_do() -> None:
    seen: list[bytes] = []
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", seen)) as port:
        spec = Check(port, type="http", path="/café?a=%20b", headers=(("X-Name", "Zoë"),))
        found = await check(spec, "127.0.0.1")
    assert (found.passing, found.output) == (True, "GET /café?a=%20b answered 200")
    assert b"GET /caf%C3%A9?a=%20b HTTP/1.1\r\n" in seen[0] and "\r\nX-Name: Zoë\r\n".encode() in seen[0]


async def test_a_silent_app_fails_at_the_timeout_and_counts_as_listening() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        began = time.monotonic()
        result = await check(Check(port=port, type="http", timeout=0.2), "127.0.0.1")
    assert not result.passing
    assert result.listening
    assert "did not answer within 0.2 s" in result.output
    assert time.monotonic() - began < 2


async def test_an_endless_body_is_not_read_to_the_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            return

    async with serving(endless) as port:
        result = await check(Check(port=port, type="http", timeout=5), "127.0.0.1")
    assert result.passing
    assert len(result.output) < 300


async def test_wait_port_sees_a_port_soon_after_it_opens(free_port: int) -> None:
    opened: list[float] = []

    async def open_later() -> asyncio.Server:
        await asyncio.sleep(0.3)
        server = await asyncio.start_server(answering(b""), "127.0.0.1", free_port)
        opened.append(time.monotonic())
        return server

    task = asyncio.create_task(open_later())
    assert await wait_port("127.0.0.1", free_port, time.monotonic() + 10)
    assert time.monotonic() - opened[0] < 0.2  # 20 ms, and room for a busy machine
    (await task).close()


async def test_wait_port_gives_up_at_the_deadline(free_port: int) -> None:
    began = time.monotonic()
    assert not await wait_port("127.0.0.1", free_port, began + 0.1)
    assert 0.09 < time.monotonic() - began < 2
    assert not await wait_port("127.0.0.1", free_port, began)


def test_loopback_listener_is_told_from_an_open_one() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        assert listens_on_loopback_only(os.getpid(), port)
    assert not listens_on_loopback_only(os.getpid(), port)
    with socket.socket(socket.AF_INET6) as s:
        s.bind(("::", 0))
        s.listen()
        assert not listens_on_loopback_only(os.getpid(), s.getsockname()[1])
    assert not listens_on_loopback_only(2**22 + 1, 80)
