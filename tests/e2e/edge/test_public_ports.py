"""Ports that are one app's own: bytes, waking, open connections over every change, and ports that can't be had."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from tests.e2e.edge.edge_harness import Bench, bench, envoys_of, free_port, until

from roost.edge.contract import Endpoint, PublicPort, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions


@asynccontextmanager
async def lines(name: str) -> AsyncIterator[Endpoint]:
    """A program that says its name first, then answers each line with it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"hello from {name}\n".encode())
        while line := await reader.readline():
            writer.write(f"{name}:".encode() + line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Endpoint(f"machine-{name}", "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


class Client:
    """A connection to a port of the edge."""

    all: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.all.append(self)

    @classmethod
    async def to(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def says(self) -> str:
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode().strip()

    async def ask(self, text: str) -> str:
        self.writer.write(f"{text}\n".encode())
        return await self.says()


async def _active(it: Bench, count: int) -> None:
    async def counted() -> bool:
        await it.cell.measure()
        return it.edge.traffic("db").active == count

    await until(counted, what=f"{count} connections are counted")


async def test_a_port_of_an_app(tmp_path: Path) -> None:
    port = free_port()
    async with bench(tmp_path) as it, lines("a") as first, lines("b") as second:
        asleep = PublicPort("db", port, org="acme")
        guarded: list[list[tuple[str, int]]] = []  # what the kernel is told to count
        it.edge._public._guard = lambda ports: guarded.append(list(ports))

        async def wake(_app: str) -> WakeResult:
            await asyncio.sleep(0.05)
            await it.edge.put_ports("db", [PublicPort("db", port, org="acme", endpoints=(first,))])
            return WakeResult(endpoint=first, app="db")

        # asleep and can't be woken: the client is turned away, and the edge does not hammer
        await it.edge.put_ports("db", [asleep])
        assert guarded == [[("tcp", port)]]
        turned_away = await Client.to(port)
        assert await turned_away.says() == ""
        assert it.waker.port_wakes == [("db", "tcp", port)]

        # connecting wakes, and what the client said meanwhile arrives
        it.waker.on_port = wake
        it.edge._public._doors._doors[("tcp", port)]._closed_until = 0.0
        woken = await Client.to(port)
        woken.writer.write(b"early\n")
        assert [await woken.says(), await woken.says()] == ["hello from a", "a:early"]
        wakes = len(it.waker.port_wakes)
        straight = await Client.to(port)
        assert await straight.says() == "hello from a"
        assert len(it.waker.port_wakes) == wakes
        await _active(it, 2)

        # the gauges tell of connections too: no sleep while one is open
        assert await it.cell.active("db") == {"db": 2}
        assert not await it.edge.drained("db", timeout=0.2)

        # another machine, asleep again, roostd gone and back: open connections go on
        await it.edge.put_ports("db", [PublicPort("db", port, org="acme", endpoints=(second,))])
        assert await (await Client.to(port)).says() == "hello from b"
        await it.edge.put_ports("db", [asleep])
        assert await woken.ask("still there") == "a:still there"
        await it.edge.stop(envoy_too=False)
        assert await woken.ask("without roostd") == "a:without roostd"
        it.edge = EnvoyEdge(it.cloud, it.waker, it.edge._cells["0"].keeper._spawn)
        await it.edge.start()
        it.edge._public._guard = lambda ports: guarded.append(list(ports))
        await it.edge.replace_all([], {"db": [asleep]})
        assert guarded[-1] == [("tcp", port)]
        assert await woken.ask("with another") == "a:with another"
        assert await (await Client.to(port)).says() == "hello from a", "woken by the new roostd"

        # the app gives the port up
        await it.edge.put_ports("db", [])
        await until(lambda: _refused(port), what="the port is closed")
        for client in Client.all:
            client.writer.close()
        await _active(it, 0)
        before = it.edge.traffic("db").last_request_at
        await it.edge.put_ports("db", [PublicPort("db", port, endpoints=(second,))])
        (short := await Client.to(port)).writer.close()
        await until(lambda: it.edge.traffic("db").last_request_at > before, what="a short connection counts as use")
        assert short

        # a port that another program has
        theirs = free_port()  # once given back it is nobody else's
        with socket.create_server(("0.0.0.0", theirs)):
            await it.edge.put_ports(
                "db", [PublicPort("db", theirs, endpoints=(second,)), PublicPort("db", port, endpoints=(second,))]
            )
            assert list(it.edge.status().detail["ports"]) == [f"{theirs}/tcp"]  # type: ignore[call-overload]
            assert "another program" in it.edge.status().detail["ports"][f"{theirs}/tcp"]  # type: ignore[index]
            assert await (await Client.to(port)).says() == "hello from b"
            await it.edge.put(it.route())
            assert (await it.get()).status == 200
        await it.edge._public.look_after([])
        assert "ports" not in it.edge.status().detail
        assert await (await Client.to(theirs)).says() == "hello from b"


async def _refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_ports_come_back_with_their_cell(tmp_path: Path) -> None:
    port = free_port()
    async with bench(tmp_path, cells=2) as it, lines("a") as machine:
        await it.edge.put_ports("db", [PublicPort("db", port, org="acme", endpoints=(machine,))])
        assert await (await Client.to(port)).says() == "hello from a"
        cell = it.edge._cells.first_of("acme")
        os.kill(cell.pid, signal.SIGKILL)
        before = cell.keeper.restarts

        async def back() -> bool:
            try:
                return cell.keeper.restarts > before and await (await Client.to(port)).says() == "hello from a"
            except OSError:
                return False

        await until(back, what="the port is served again")
        assert len(envoys_of(it.cloud)) == 2

        # without roostd, with the last good configuration
        await it.edge.stop(envoy_too=False)
        told = EnvoyEdge(it.cloud, it.waker, it.edge._cells["0"].keeper._spawn, EdgeOptions(cells=2))
        await told.stand_in()
        try:
            cell = told._cells.first_of("acme")
            before = cell.keeper.restarts
            os.kill(cell.pid, signal.SIGKILL)
            await until(back, what="the port is served without roostd")
        finally:
            await told.stop(envoy_too=False)
        it.edge = EnvoyEdge(it.cloud, it.waker, it.edge._cells["0"].keeper._spawn, EdgeOptions(cells=2))
        await it.edge.start()
        await it.edge.replace_all([], {})
        await until(lambda: _refused(port), what="a port that is not the app's any more is closed")
