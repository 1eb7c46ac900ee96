"""What `pg_tls` costs a client of Postgres: connecting, a query's time, and MB/s, beside no edge and a port of its own.

A real Postgres on loopback and an edge before it; the ways take turns. A password is checked on each connection
(SCRAM), which takes most of its time. Through `pg_tls` all is encrypted, the other ways are in the clear.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import ROOT, say

sys.path.append(str(ROOT))

CONNECTIONS, QUERIES, ROUNDS = 100, 300, 3
COPY = "COPY (SELECT repeat('x', 8000) FROM generate_series(1, 40000)) TO STDOUT"


async def measure(port: int, options: dict[str, object], connect: Any) -> dict[str, float]:
    times = []
    for _ in range(CONNECTIONS):
        began = time.perf_counter()
        await (await connect(port, **options)).close()
        times.append(time.perf_counter() - began)
    connection = await connect(port, **options)
    began = time.perf_counter()
    for _ in range(QUERIES):
        await connection.execute("SELECT 1")
    query = (time.perf_counter() - began) / QUERIES
    began, size = time.perf_counter(), 0
    async with connection.cursor().copy(COPY) as copied:
        async for part in copied:
            size += len(part)
    rate = size / (time.perf_counter() - began)
    await connection.close()
    return {"connect_ms": statistics.median(times) * 1e3, "query_us": query * 1e6, "mb_per_s": rate / 1e6}


async def main() -> None:
    from tests.e2e.edge.edge_harness import bench, free_port
    from tests.e2e.edge.postgres_server import postgres
    from tests.e2e.edge.test_postgres import OneForAll, app, connect

    from roost.edge.contract import Endpoint, PublicPort

    with postgres() as server, tempfile.TemporaryDirectory() as directory:
        here, shared, own = Endpoint("m", "127.0.0.1", server), free_port(), free_port()
        source = OneForAll(Path(directory))
        async with bench(Path(directory), certificates=source, postgres_port=shared) as it:
            await it.edge.put_ports("db", [app("db", here), PublicPort("db", own, endpoints=(here,))])
            ways: dict[str, tuple[int, dict[str, object]]] = {
                "without an edge": (server, {"sslmode": "disable"}),
                "a port of its own": (own, {"sslmode": "disable"}),
                "pg_tls": (shared, {"sslmode": "require"}),
                "pg_tls, TLS at once": (shared, {"sslmode": "require", "sslnegotiation": "direct"}),
            }
            found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, (port, options) in ways.items():
                    found[way].append(await measure(port, options, connect))
    for way, rounds in found.items():
        best = {key: (max if key == "mb_per_s" else min)(one[key] for one in rounds) for key in rounds[0]}
        say(f"{way:20} " + ", ".join(f"{key} {value:.2f}" for key, value in best.items()))


if __name__ == "__main__":
    asyncio.run(main())
