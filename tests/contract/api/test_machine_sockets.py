"""The sockets of machines: who asks is decided by the socket, and no machine takes what others need."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl

from roost.daemon.machine_sockets import CONNECTIONS, MachineSockets
from roost.model.machine_config import MachineConfig
from roost.sdk import Client


@pytest.fixture
def machines(control: FakeControl) -> list[str]:
    control.apps.create("mine")
    return [control.machines.create("mine", MachineConfig(image="roost/base:bookworm")).id for _ in range(2)]


@pytest.fixture
async def sockets(api: FastAPI, tmp_path: Path, machines: list[str]) -> AsyncIterator[MachineSockets]:
    made = MachineSockets(asyncio.get_running_loop())
    for machine_id in machines:
        (tmp_path / machine_id).mkdir()
        made.open(machine_id, tmp_path / machine_id)
    made.serve(api)
    yield made
    made.stop()


def through(path: Path) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)), base_url="http://flaps", timeout=10)


async def whose(path: Path) -> str:
    async with through(path) as client:
        return (await client.get("/v1/tokens/current")).json()["tokens"][0]["token_id"].removeprefix("machine:")


async def test_each_socket_is_one_machine(sockets: MachineSockets, tmp_path: Path, machines: list[str]) -> None:
    assert [await whose(tmp_path / machine_id / "api") for machine_id in machines] == machines
    mode = (tmp_path / machines[0] / "api").stat().st_mode
    assert mode & 0o777 == 0o666


async def test_the_sdk_asks_from_inside(sockets: MachineSockets, tmp_path: Path, machines: list[str]) -> None:
    def ask() -> tuple[str, str]:
        with Client.inside(socket=str(tmp_path / machines[1] / "api")) as client:
            return client.identity_token("me"), client.machines.get("mine", machines[1])["id"]

    token, seen = await asyncio.to_thread(ask)
    assert (token, seen) == (f"token.{machines[1]}.me.False", machines[1])


async def test_a_socket_is_replaced_and_ends(sockets: MachineSockets, tmp_path: Path, machines: list[str]) -> None:
    place = tmp_path / machines[0]
    await asyncio.to_thread(sockets.open, machines[0], place)  # as a thread of the host does, and a new roostd
    assert await whose(place / "api") == machines[0]
    assert [path.name for path in place.iterdir()] == ["api"]
    await asyncio.to_thread(sockets.close, machines[0])
    await asyncio.to_thread(sockets.close, machines[0])
    await asyncio.sleep(0)
    with socket.socket(socket.AF_UNIX) as refused, pytest.raises(ConnectionRefusedError):
        refused.connect(str(place / "api"))
    assert await whose(tmp_path / machines[1] / "api") == machines[1]


async def test_what_can_not_be_made_is_said_and_hurts_nobody(
    sockets: MachineSockets, tmp_path: Path, machines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sockets.open("0" * 14, tmp_path / "missing")
    assert "a machine has no API socket" in capsys.readouterr().out
    assert await whose(tmp_path / machines[0] / "api") == machines[0]


async def test_a_greedy_machine_waits_and_others_do_not(
    sockets: MachineSockets, tmp_path: Path, machines: list[str]
) -> None:
    greedy, other = (tmp_path / machine_id / "api" for machine_id in machines)
    held = [await asyncio.open_unix_connection(greedy) for _ in range(CONNECTIONS + 4)]
    assert await whose(other) == machines[1]
    late = asyncio.create_task(whose(greedy))
    done, _ = await asyncio.wait([late], timeout=0.2)
    assert not done, "more connections were served than a machine may have"
    for _, writer in held[:6]:
        writer.close()
    assert await asyncio.wait_for(late, 10) == machines[0]
    for reader, writer in held[6:]:
        assert await asyncio.wait_for(reader.read(), 10) == b""  # asked nothing: closed after a few seconds
        writer.close()


async def test_thousands_cost_next_to_nothing(sockets: MachineSockets, api: FastAPI, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    many = 500
    before = loop.time()
    for number in range(many):
        place = tmp_path / f"{number:014x}"
        place.mkdir()
        sockets.open(f"{number:014x}", place)
    took = (loop.time() - before) / many
    assert took < 0.002, f"{took * 1000:.2f} ms for each socket"
    await asyncio.sleep(0)
    assert await whose(tmp_path / f"{7:014x}" / "api") == f"{7:014x}"
    sockets.close(f"{7:014x}")
