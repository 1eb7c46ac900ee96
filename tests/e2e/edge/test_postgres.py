"""`pg_tls`: clients of Postgres reach the app whose name they say, and nobody else reaches anything."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import struct
import subprocess
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from tests.e2e.edge.edge_harness import bench, free_port, spawn, until
from tests.e2e.edge.postgres_server import PASSWORD, postgres
from tests.e2e.edge.wedge import wedged
from tests.e2e.tls.made import self_made

from roost.edge.contract import Endpoint, Material, PublicPort, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.front_plan import THREADS
from roost.edge.options import EdgeOptions
from roost.edge.threads import threads_of
from roost.model.port_options import TlsOptions

TLS, GSS, CANCEL = (struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104), struct.pack("!II", 16, 80877102))
PLAIN = struct.pack("!II", 20, 196608) + b"user\0roost\0\0"


class OneForAll:
    """One certificate for all the names of this test."""

    def __init__(self, place: Path) -> None:
        self.chain, self.key = self_made("db.localhost", "other.localhost", "asleep.localhost", "db.example.com")
        self.file = place / "authority.pem"
        self.file.write_text(self.chain)

    async def certificate(self, host: str) -> Material | None:
        return None if host.startswith("nobody") else Material(self.chain.encode(), self.key.encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with postgres() as port:
        yield Endpoint("m", "127.0.0.1", port)


def app(name: str, *endpoints: Endpoint, hosts: tuple[str, ...] = (), **more: object) -> PublicPort:
    names = (f"{name}.localhost", *hosts)
    return PublicPort(name, 5432, "pg", hosts=names, endpoints=endpoints, **{"handlers": ("pg_tls",), **more})  # type: ignore[arg-type]


@asynccontextmanager
async def recorder() -> AsyncIterator[tuple[list[bytes], Endpoint]]:
    """A program that keeps what is said to it first."""
    told: list[bytes] = []

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        told.append(b"")
        while data := await reader.read(4096):
            told[-1] += data
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield told, Endpoint("m", "127.0.0.1", listening.sockets[0].getsockname()[1])
    finally:
        listening.close()


async def connect(port: int, host: str = "db.localhost", **more: object) -> psycopg.AsyncConnection[tuple[object, ...]]:
    options: dict[str, object] = {"sslmode": "require", "user": "roost", "password": PASSWORD, "dbname": "postgres"}
    return await psycopg.AsyncConnection.connect(
        host=host, hostaddr="127.0.0.1", port=port, autocommit=True, connect_timeout=10, **{**options, **more}
    )


async def psql(port: int, host: str, options: str) -> subprocess.CompletedProcess[str]:
    place = f"host={host} hostaddr=127.0.0.1 port={port} user=roost dbname=postgres password='{PASSWORD}' {options}"
    argv = ["psql", "-XAtc", "select 'by psql'", place]
    return await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=20)  # type: ignore[arg-type]


async def one(connection: psycopg.AsyncConnection[tuple[object, ...]], query: str = "select 1") -> object:
    row = await (await connection.execute(query)).fetchone()  # type: ignore[call-overload]
    return row[0]


async def answer(port: int, *parts: bytes) -> bytes:
    """Say something, then return all that is answered until the edge hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(15):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def by_tls(port: int, source: OneForAll, host: str, first: bytes = TLS) -> tuple[StreamReader, StreamWriter]:
    """Begin TLS as a client of Postgres does, or at once when there is nothing `first`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    async with asyncio.timeout(10):
        assert not first or await reader.readexactly(1) == b"S"
        await writer.start_tls(ssl.create_default_context(cadata=source.chain), server_hostname=host)
    return reader, writer


async def test_clients_of_postgres(tmp_path: Path, server: Endpoint) -> None:
    port, source = free_port(), OneForAll(tmp_path)
    async with bench(tmp_path, certificates=source, postgres_port=port) as it:
        await it.edge.put_ports("db", [app("db", server, hosts=("db.example.com",))])
        assert "ports" not in it.edge.status().detail, it.edge.status().detail
        trusted = {"sslmode": "verify-full", "sslrootcert": str(source.file)}
        held = await connect(port, **trusted)
        assert await one(held, "select 40 + 2") == 42
        assert held.pgconn.ssl_in_use
        direct = await connect(port, host="db.example.com", sslnegotiation="direct", **trusted)
        assert await one(direct) == 1
        shown = await psql(port, "DB.localhost", f"sslmode=verify-full sslrootcert={source.file}")
        assert shown.stdout == "by psql\n", shown.stderr
        with pytest.raises(psycopg.OperationalError, match="channel binding"):
            await connect(port, channel_binding="require")

        # a request to cancel, which says the name by TLS too
        asked = asyncio.create_task(one(held, "select pg_sleep(60)"))
        await until(lambda: held.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE, what="it sleeps")

        async def cancelled() -> bool:  # one that comes before the query has begun does nothing
            await held.cancel_safe(timeout=10)
            await asyncio.wait({asked}, timeout=0.5)
            return asked.done()

        await until(cancelled, 15, "the query is cancelled")
        with pytest.raises(psycopg.errors.QueryCanceled):
            await asked

        async def two() -> bool:
            return await it.cell.active("db") == {"db": 2}

        await until(two, what="connections are counted, and those that ended are not")

        # many apps on the port: one asleep, which connecting wakes, and one that wants to know who calls
        async def wake(name: str) -> WakeResult:
            await it.edge.put_ports(name, [app(name, server)])
            return WakeResult(endpoint=server, app=name)

        it.waker.on_port = wake
        await it.edge.put_ports("asleep", [app("asleep")])
        woken = await connect(port, host="asleep.localhost", **trusted)
        assert await one(woken) == 1
        assert it.waker.port_wakes == [("asleep", "pg", 5432)]
        async with recorder() as (told, place):
            await it.edge.put_ports("other", [app("other", place, handlers=("pg_tls", "proxy_proto"))])
            _, writer = await by_tls(port, source, "other.localhost")
            writer.write(PLAIN)
            mine = writer.get_extra_info("sockname")[1]
            line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {mine} {port}\r\n".encode()
            await until(lambda: told[-1:] == [line + PLAIN], what="the app is told the client's address")
            writer.close()
        await it.edge.put_ports("other", [app("other", server, hard_limit=1, tls=TlsOptions((), ("TLSv1.3",)))])
        with pytest.raises(psycopg.OperationalError, match=r"version|alert"):
            await connect(port, host="other.localhost", ssl_max_protocol_version="TLSv1.2")

        async def alone() -> bool:
            return await it.cell.active("other") == {}

        await until(alone, what="those who were refused have gone: there is room for one")
        only = await connect(port, host="other.localhost")
        with pytest.raises(psycopg.OperationalError):
            await connect(port, host="other.localhost")
        assert await one(only) == 1

        # roostd ends and another begins, an app goes: open connections go on, new ones can be made
        front = it.edge.status().detail["postgres"]["pid"]  # type: ignore[index]
        await it.edge.stop(envoy_too=False)
        assert [await one(each) for each in (held, direct, woken)] == [1, 1, 1]
        assert await one(await connect(port)) == 1
        it.edge = EnvoyEdge(it.cloud, it.waker, spawn, EdgeOptions(postgres_port=port), certificates=source)
        await it.edge.start()
        await it.edge.replace_all([], {"db": [app("db", server)], "other": [app("other", server)]})
        assert it.edge.status().detail["postgres"]["pid"] == front  # type: ignore[index]
        assert [await one(each) for each in (held, woken)] == [1, 1]
        await until(lambda: unreachable(port, "asleep.localhost"), what="the app that went is not served")
        assert [await one(each) for each in (held, woken, await connect(port))] == [1, 1, 1]

        # the front dies and is back; with the last app the port is free again
        os.kill(front, signal.SIGKILL)  # type: ignore[arg-type]
        await until(lambda: reaches(port, "db.localhost"), what="the front is back")
        for name in ("db", "other"):
            await it.edge.put_ports(name, [])
        assert "postgres" not in it.edge.status().detail
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))
            probe.listen()
            await it.edge.put_ports("db", [app("db", server)])
            assert "used by another program" in it.edge.status().detail["ports"]["5432/pg:db"]  # type: ignore[index]
        it.edge._public._retry_at = 0.0
        await it.edge._public.look_after([])
        assert "ports" not in it.edge.status().detail
        assert await one(await connect(port)) == 1


async def reaches(port: int, host: str) -> bool:
    try:
        return await one(await connect(port, host=host)) == 1
    except psycopg.OperationalError:
        return False


async def unreachable(port: int, host: str) -> bool:
    return not await reaches(port, host)


async def test_strangers_on_the_port_of_postgres(
    tmp_path: Path, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roost.edge.postgres_front.FIRST_BYTES", "1s")
    port, source = free_port(), OneForAll(tmp_path)
    async with bench(tmp_path, certificates=source, postgres_port=port) as it:
        await it.edge.put_ports("db", [app("db", server)])
        began = time.monotonic()
        silent = [asyncio.create_task(answer(port, part)) for part in (b"", TLS[:5], b"\x16\x03", TLS, GSS)]
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]

        told = await answer(port, PLAIN)
        assert told[:1] == b"E"
        assert struct.unpack("!I", told[1:5]) == (len(told) - 1,)
        assert b"\0C28000\0Mthis server takes connections by TLS only\0H" in told
        with pytest.raises(psycopg.OperationalError, match=r"by TLS only(.|\n)*sslmode=require"):
            await connect(port, sslmode="disable")
        assert await one(await connect(port, gssencmode="disable")) == 1
        assert (await answer(port, GSS, PLAIN))[:2] == b"NE"
        for cut_off in (
            (CANCEL + b"12345678",),
            (struct.pack("!II", 2**31 - 1, 196608 ^ 0xFF0000),),
            (b"GET / HTTP/1.1\r\n\r\n",),
            (b"\x16\x03\x01\x00\x05hello",),
            (b"\0" * 5000,),
        ):
            assert await answer(port, *cut_off) == b"", cut_off
        for once in ((TLS, TLS), (TLS, PLAIN), (TLS, b"no greeting"), (TLS + GSS,)):
            assert await answer(port, *once) == b"S", once
        assert await answer(port, GSS, GSS) == b"N"
        _, writer = await by_tls(port, source, "db.localhost")
        writer.close()
        with pytest.raises(OSError):  # by TLS at once, and not as a client of Postgres
            await by_tls(port, source, "db.localhost", b"")
        for host in ("nobody.localhost", "hello.localhost", "*.localhost"):
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                await by_tls(port, source, host)
            with pytest.raises(psycopg.OperationalError, match="unrecognized name"):
                await connect(port, host=host)
        for more in ({"sslsni": 0}, {"host": "hello.localhost", "sslnegotiation": "direct"}):
            with pytest.raises(psycopg.OperationalError, match="unrecognized name"):
                await connect(port, **more)
        shown = await psql(port, "nobody.localhost", "sslmode=require")
        assert shown.returncode == 2
        assert "unrecognized name" in shown.stderr, shown.stderr
        assert it.waker.port_wakes == []

        assert await asyncio.gather(*silent) == [b"", b"", b"", b"S", b"N"]
        assert 0.9 < time.monotonic() - began < 5, "who says nothing is ended"
        for _, writer in crowd:
            writer.close()
        assert await one(await connect(port)) == 1


async def test_postgres_through_cells(tmp_path: Path, server: Endpoint) -> None:
    port, source = free_port(), OneForAll(tmp_path)
    async with bench(tmp_path, certificates=source, postgres_port=port, cells=2) as it:
        orgs = {it.edge._cells.first_of(org).name: org for org in map(str, range(20))}
        names = dict(zip(sorted(orgs), ("db", "other"), strict=True))
        for cell, name in names.items():
            await it.edge.put_ports(name, [app(name, server, org=orgs[cell])])
        connections = {cell: await connect(port, host=f"{name}.localhost") for cell, name in names.items()}
        assert [await one(each) for each in connections.values()] == [1, 1]

        # a cell dies without roostd: the others do not notice, and it is back with the last good configuration
        await it.edge.stop(envoy_too=False)
        told = EnvoyEdge(it.cloud, it.waker, spawn, EdgeOptions(cells=2, postgres_port=port), certificates=source)
        await told.stand_in()
        try:
            victim, other = names
            os.kill(told._cells[victim].pid, signal.SIGKILL)
            assert await one(connections[other]) == 1
            await until(lambda: reaches(port, f"{names[victim]}.localhost"), 10, "the cell is back")
            os.kill(told.status().detail["postgres"]["pid"], signal.SIGKILL)  # type: ignore[index]
            await until(lambda: reaches(port, f"{names[other]}.localhost"), 10, "the front is back")
        finally:
            await told.stop(envoy_too=False)


async def test_a_front_that_stands_still_goes_on_or_is_replaced(tmp_path: Path, server: Endpoint) -> None:
    port = free_port()
    async with bench(tmp_path, certificates=OneForAll(tmp_path), postgres_port=port) as it:
        await it.edge.put_ports("db", [app("db", server)])

        def front() -> int:
            return int(it.edge.status().detail["postgres"]["pid"])  # type: ignore[index,call-overload]

        held, first = await connect(port), front()
        os.kill(first, signal.SIGSTOP)
        async with asyncio.timeout(3):
            assert [await one(held), await one(await connect(port))] == [1, 1], "it was told to go on"
        assert front() == first, "and kept its connections"

        threads = [thread.tid for thread in threads_of(first)]
        assert len(threads) == THREADS
        async with wedged(threads[-1]):
            began = time.monotonic()
            await until(lambda: front() not in (0, first), 3, "one thread of it hangs: it is replaced")
            await until(lambda: reaches(port, "db.localhost"), 3, "and serves")
            assert time.monotonic() - began < 3
