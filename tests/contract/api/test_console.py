"""The console over a real WebSocket, on a real terminal with real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN, READER
from tests.contract.api.live_server import served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from roost.model.machine_config import MachineConfig


@pytest.fixture
async def address(api: FastAPI) -> AsyncIterator[str]:
    async with served(api) as found:
        yield found


@pytest.fixture
def url(address: str, control: FakeControl) -> str:
    control.apps.create("myapp")
    machine = control.machines.create("myapp", MachineConfig(image="x"))
    return f"ws://{address}/v1/apps/myapp/machines/{machine.id}/console"


def dial(url: str, *command: str, headers: dict[str, str] = ADMIN, **query: str) -> connect:
    pairs = [*query.items(), *(("command", word) for word in command)]
    return connect(f"{url}?{urlencode(pairs)}", additional_headers=headers, proxy=None, open_timeout=10)


async def read_all(socket: ClientConnection) -> tuple[bytes, list[dict[str, Any]]]:
    """Read until the server closes: the terminal's bytes and the text frames."""
    data, texts = b"", []
    async with asyncio.timeout(15):
        async for frame in socket:
            if isinstance(frame, bytes):
                data += frame
            else:
                texts.append(json.loads(frame))
    return data, texts


async def read_until(socket: ClientConnection, wanted: bytes) -> None:
    seen = b""
    async with asyncio.timeout(15):
        while wanted not in seen:
            frame = await socket.recv()
            assert isinstance(frame, bytes), frame
            seen += frame


async def test_output_and_exit_code(url: str) -> None:
    async with dial(url, "sh", "-c", "stty size; exit 7", rows="31", columns="101") as socket:
        data, texts = await read_all(socket)
    assert data == b"31 101\r\n"
    assert texts == [{"exit_code": 7}]


async def test_typing_and_resizing(url: str) -> None:
    async with dial(url, "sh", "-c", "stty -echo; echo ready; read a; stty size; echo got $a") as socket:
        await read_until(socket, b"ready")
        for nonsense in (
            "no json",
            "[]",
            '{"resize": [0, -1]}',
            '{"resize": "x"}',
            '{"resize": [1e999, 1]}',
            "[" * 100_000,
        ):
            await socket.send(nonsense)
        await socket.send(json.dumps({"resize": [50, 120]}))
        await socket.send(b"hello\n")
        data, texts = await read_all(socket)
    assert b"50 120" in data
    assert b"got hello" in data
    assert texts == [{"exit_code": 0}]


async def test_much_output_arrives_whole(url: str) -> None:
    async with dial(url, "sh", "-c", "stty raw; head -c 3000000 /dev/zero") as socket:
        data, texts = await read_all(socket)
    assert len(data) == 3_000_000
    assert texts == [{"exit_code": 0}]


async def until_closed(control: FakeControl) -> None:
    console = control.world.consoles[0]
    async with asyncio.timeout(5):
        while not console.closed:
            await asyncio.sleep(0.01)
    assert console.process.returncode == -9


async def test_process_ends_with_the_client(url: str, control: FakeControl) -> None:
    async with dial(url, "sleep", "600") as socket:
        await socket.ping()
    await until_closed(control)


async def test_process_ends_when_the_client_vanishes(url: str, control: FakeControl) -> None:
    socket = await dial(url, "yes")
    await socket.recv()
    socket.transport.abort()
    await until_closed(control)


async def test_other_calls_go_on_beside_a_client_that_does_not_read(
    url: str, address: str, control: FakeControl
) -> None:
    socket = await dial(url, "yes")
    try:
        async with httpx2.AsyncClient(base_url=f"http://{address}", timeout=5) as client:
            for _ in range(20):
                assert (await client.get("/healthz")).status_code == 200
    finally:
        socket.transport.abort()
    await until_closed(control)


async def test_default_command_is_left_to_control(url: str, control: FakeControl) -> None:
    async with dial(url) as socket:
        await socket.send(b"exit 3\n")
        _, texts = await read_all(socket)
    assert texts == [{"exit_code": 3}]
    assert control.world.consoles[0].process.args == ("/bin/sh",)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, {}, 401),
        ({"Authorization": "Bearer wrong"}, {}, 401),
        (READER, {}, 403),
        (ADMIN, {"rows": "0"}, 400),
        (ADMIN, {"rows": "many"}, 400),
        (ADMIN, {"columns": "99999"}, 400),
        (ADMIN, {"command": ""}, 400),
        (ADMIN, {"command": "a\0b"}, 400),
    ],
)
async def test_handshakes_that_are_refused(
    url: str, control: FakeControl, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(url, headers=headers, **query):
            pass
    assert refused.value.response.status_code == status
    body = json.loads(bytes(refused.value.response.body or b""))
    assert body["error"]
    assert not control.world.consoles


async def test_other_host_names_are_refused(url: str, address: str, control: FakeControl) -> None:
    host, port = address.split(":")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            url.replace(host, "evil.test"), host=host, port=int(port), additional_headers=ADMIN, proxy=None
        ):
            pass
    assert refused.value.response.status_code == 421
    assert not control.world.consoles


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/apps"])
async def test_unknown_paths(address: str, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{address}{path}", proxy=None):
            pass
    assert refused.value.response.status_code == 404
    assert bytes(refused.value.response.body or b"") == b"404 page not found"


async def test_unknown_machine(url: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(url.replace(url.split("/")[-2], "0" * 14)):
            pass
    assert refused.value.response.status_code == 404
