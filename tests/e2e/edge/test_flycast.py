"""The edge's listener for private networks: the address that was called decides, whatever Host says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.e2e.edge.edge_harness import App, TestWaker, clean, make_cloud, serving, spawn

from roost.edge.contract import Endpoint, Route
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.model.cloud import FLYCAST_PORT


async def _ask(address: str, host: str) -> tuple[int, dict[str, str]]:
    reader, writer = await asyncio.open_connection(address, FLYCAST_PORT)
    try:
        forged = "Roost-Flycast-Address: 127.0.0.9\r\nRoost-Flycast-Host: forged.localhost\r\n"
        writer.write(f"GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{forged}\r\n".encode())
        async with asyncio.timeout(20):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        return status, dict(json.loads(body)) if status == 200 else {}
    finally:
        writer.close()


async def test_the_address_that_was_called_decides(tmp_path: Path) -> None:
    cloud = make_cloud(tmp_path)
    address = f"127.{int(cloud.id[:2], 16) or 1}.{int(cloud.id[2:4], 16)}.{int(cloud.id[4:6], 16) or 1}"
    waker = TestWaker()
    async with serving(App()) as app:
        endpoint = Endpoint("00000000000001", "127.0.0.1", app.port)
        waker.apps["hello.localhost"] = ("hello", endpoint)
        edge = EnvoyEdge(cloud, waker, spawn, EdgeOptions(private=(address,)))
        try:
            await edge.start()
            assert (await _ask(address, "hello.localhost"))[0] == 404  # nobody's address
            waker.private[address] = "hello.localhost"
            for routed in (False, True, False):  # by the activator, by Envoy, and back
                if routed:
                    await edge.put(Route("hello", ("hello.localhost",), (endpoint,), private=(address,)))
                elif app.requests:
                    await edge.remove("hello")
                for host in ("hello.flycast", "other.localhost", "[fdaa::1]:80"):
                    status, told = await _ask(address, host)
                    assert (status, told["host"], told["request"]) == (200, host, "GET /x HTTP/1.1")
                    assert not [name for name in told if name.startswith("roost-")]  # the edge's own words
            assert waker.calls == 7
        finally:
            await edge.stop(envoy_too=True)
            clean(cloud)
