"""A UDP port of an app: datagrams both ways, waking, sessions that keep it awake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.edge.edge_harness import bench, free_port, until

from roost.edge.contract import Endpoint, PublicPort, WakeResult


class _Echo(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)
        self.transport.sendto(b"you said " + data, addr)


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[_Echo, Endpoint]]:
    transport, app = await asyncio.get_running_loop().create_datagram_endpoint(_Echo, local_addr=("127.0.0.1", 0))
    try:
        yield app, Endpoint("m", "127.0.0.1", transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


class _Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.answers.append(data)


async def test_datagrams(tmp_path: Path) -> None:
    port = free_port()
    asleep = PublicPort("dns", port, "udp", "acme")
    async with bench(tmp_path) as it, echo() as (app, machine):
        awake = PublicPort("dns", port, "udp", "acme", (machine,))

        async def wake(_app: str) -> WakeResult:
            await it.edge.put_ports("dns", [awake])
            return WakeResult(endpoint=machine, app="dns")

        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(_Client, remote_addr=("127.0.0.1", port))
        try:
            await it.edge.put_ports("dns", [asleep])
            assert "ports" not in it.edge.status().detail
            transport.sendto(b"nobody")
            await until(lambda: it.waker.port_wakes == [("dns", "udp", port)], what="a datagram asks to wake the app")
            await it.edge.put_ports("dns", [])
            await it.edge.put_ports("dns", [asleep])
            it.waker.on_port = wake
            transport.sendto(b"first")
            await until(lambda: b"first" in app.got, what="what woke the app arrives")
            transport.sendto(b"second")
            await until(lambda: b"you said second" in client.answers, what="answers come back")
            assert len(it.waker.port_wakes) == 2
            assert (await it.cell.active("dns"))["dns"] >= 1, "a session keeps the app awake"
            await it.edge.put_ports("dns", [asleep])
            transport.sendto(b"third")
            await until(lambda: b"third" in app.got, what="it is woken again")
            await it.edge.put_ports("dns", [])
        finally:
            transport.close()
