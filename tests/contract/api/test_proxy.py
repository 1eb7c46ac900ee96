"""A TCP connection to a machine over a WebSocket: bytes, half-close, backpressure, refusals."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN, READER
from tests.contract.api.live_server import served
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from roost.model.machine_config import MachineConfig

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def base(api: FastAPI, control: FakeControl) -> AsyncIterator[str]:
    control.apps.create("myapp")
    machine = control.machines.create("myapp", MachineConfig(image="x"))
    async with served(api) as address:
        yield f"ws://{address}/v1/apps/myapp/machines/{machine.id}/proxy"


def dial(base: str, port: object, headers: dict[str, str] = ADMIN) -> connect:
    return connect(f"{base}?port={port}", additional_headers=headers, proxy=None, open_timeout=10, compression=None)


async def count_then_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read(-1)  # until the half-close
    writer.write(f"{len(data)} bytes".encode())
    await writer.drain()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_half_close_and_an_answer_after_it(base: str, control: FakeControl) -> None:
    async with asyncio.timeout(20), listening(count_then_answer) as port, dial(base, port) as link:
        for _ in range(50):
            await link.send(b"x" * 100_000)
        await link.send("no json")
        await link.send(json.dumps({"resize": [1, 1]}))
        await link.send(json.dumps({"eof": True}))
        assert [frame async for frame in link] == [b"5000000 bytes", json.dumps({"eof": True})]
    await until(lambda: control.tunnels.open_now == 0)


async def test_the_machine_is_not_read_faster_than_the_client_reads(base: str) -> None:
    written = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(1000):
            writer.write(b"y" * 100_000)
            await writer.drain()
            written += 100_000

    async with asyncio.timeout(60), listening(pour) as port, dial(base, port) as link:
        before = -1
        while before != written or not written:  # until it stands still
            before = written
            await asyncio.sleep(0.3)
        assert written < 50_000_000
        count = 0
        async for frame in link:
            if isinstance(frame, bytes):
                count += len(frame)
            else:
                await link.send(json.dumps({"eof": True}))
        assert count == 100_000_000


async def test_a_client_that_goes_ends_the_connection(base: str, control: FakeControl) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read(-1) == b""
        ended.set()

    async with listening(wait) as port:
        async with dial(base, port):
            assert control.tunnels.open_now == 1
        await asyncio.wait_for(ended.wait(), 10)
    await until(lambda: control.tunnels.open_now == 0)


async def test_a_machine_that_resets_the_connection_ends_it(base: str) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with asyncio.timeout(20), listening(reset) as port, dial(base, port) as opened:
        async for _ in opened:
            pass


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "http", "٣", "1e3", "99999999999"])
async def test_no_port(base: str, port: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(base, port):
            pass
    assert refused.value.response.status_code == 400
    assert b"port" in (refused.value.response.body or b"")


async def test_who_may_not(base: str) -> None:
    for headers, status in (({}, 401), (READER, 403), (ADMIN, 412)):
        with pytest.raises(InvalidStatus) as refused:
            async with dial(base, 1, headers):
                pass
        assert refused.value.response.status_code == status
