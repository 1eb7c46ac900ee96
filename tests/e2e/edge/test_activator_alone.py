"""The activator spoken to directly, as a broken or hostile proxy would."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import App, TestWaker, serving, until

from roost.edge import activator as module
from roost.edge.activator import Activator
from roost.edge.contract import Endpoint


@asynccontextmanager
async def _activator(path: Path, waker: TestWaker) -> AsyncIterator[tuple[Counter[str], list[BaseException]]]:
    counts: Counter[str] = Counter()
    reported: list[BaseException] = []

    def count(app: str, change: int) -> None:
        counts[app] += change

    activator = Activator(path, waker, count, reported.append)
    await activator.start()
    try:
        yield counts, reported
    finally:
        await activator.stop()
    assert not path.exists()


async def _say(path: Path, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(-1), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"G" * 300_000,
    ],
)
async def test_what_is_no_request_is_refused(tmp_path: Path, head: bytes) -> None:
    waker = TestWaker()
    async with _activator(tmp_path / "a.sock", waker) as (_, reported):
        assert (await _say(tmp_path / "a.sock", head)).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert waker.calls == 0
        assert reported == []


async def test_a_head_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_TIMEOUT", 0.2)
    async with _activator(tmp_path / "a.sock", TestWaker()):
        assert (await _say(tmp_path / "a.sock", b"GET / HT")).startswith(b"HTTP/1.1 400 ")


async def test_a_socket_left_behind_is_replaced_and_stop_breaks_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.touch()
    waker = TestWaker(gate=asyncio.Event(), apps={"a": ("a", Endpoint("m", "127.0.0.1", 9))})
    async with _activator(path, waker):
        held = asyncio.create_task(_say(path, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        await until(lambda: waker.calls == 1)
    assert await held == b""
    assert waker.cancelled == 1


async def test_the_end_of_the_apps_answer_reaches_the_proxy_and_the_count_goes_down(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    async with serving(App()) as app:
        waker = TestWaker(apps={"a": ("shop", Endpoint("m", "127.0.0.1", app.port))})
        async with _activator(path, waker) as (counts, _):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: counts["shop"] == 1 and app.active == 1)
            app.release.set()
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await until(lambda: counts["shop"] == 0)
            answer = await _say(path, b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 502 ") and b"\r\nRoost-Error: app_closed_connection\r\n" in answer


async def test_a_slow_reader_slows_the_app_down_instead_of_filling_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    sent = 0

    async def firehose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while sent < 200_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            pass

    server = await asyncio.start_server(firehose, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    waker = TestWaker(apps={"a": ("a", Endpoint("m", "127.0.0.1", port))})
    async with _activator(path, waker):
        _, writer = await asyncio.open_unix_connection(path, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: sent > 0)
        last = -1
        while sent != last:  # until nothing moves any more
            last = sent
            await asyncio.sleep(0.3)
        assert sent < 20_000_000
        writer.close()
    server.close()
