"""`pg_tls`: clients of Postgres reach the app whose name they say, and nobody else reaches anything."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.e2e.edge.edge_harness import bench, free_port
from tests.e2e.edge.postgres_server import PASSWORD, postgres
from tests.e2e.tls.made import self_made

from roost.edge.contract import Endpoint, Material, PublicPort

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
    return PublicPort(name, 5432, "pg", hosts=names, handlers=("pg_tls",), endpoints=endpoints, **more)  # type: ignore[arg-type]


async def connect(port: int, host: str = "db.localhost", **more: object) -> psycopg.AsyncConnection[tuple[object, ...]]:
    options: dict[str, object] = {"sslmode": "require", "user": "roost", "password": PASSWORD, "dbname": "postgres"}
    return await psycopg.AsyncConnection.connect(
        host=host, hostaddr="127.0.0.1", port=port, autocommit=True, connect_timeout=10, **{**options, **more}
    )


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
        shown = await asyncio.to_thread(
            subprocess.run,
            ["psql", "-XAtc", "select 'by psql'", f"host=DB.localhost hostaddr=127.0.0.1 port={port} user=roost "
             f"dbname=postgres password='{PASSWORD}' sslmode=verify-full sslrootcert={source.file}"],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert shown.stdout == "by psql\n", shown.stderr
