"""HTTP on a port of an app's own: any host, in the clear and by TLS, also to an app that sleeps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import bench, fetch, free_port, until
from tests.e2e.edge.test_port_handlers import OneName

from roost.edge.contract import PublicPort, WakeResult


async def test_http_on_a_port_of_its_own(tmp_path: Path) -> None:
    plain, secure, raw = free_port(), free_port(), free_port()
    source = OneName("hello.localhost")
    async with bench(tmp_path, certificates=source) as it:

        def ports(*, awake: bool) -> list[PublicPort]:
            endpoints = (it.endpoint,) if awake else ()
            return [
                PublicPort("hello", plain, endpoints=endpoints, handlers=("http",)),
                PublicPort("hello", raw, endpoints=endpoints),
                PublicPort("hello", secure, endpoints=endpoints, handlers=("tls", "http")),
            ]

        async def wake(_app: str) -> WakeResult:
            await it.edge.put_ports("hello", ports(awake=True))
            return WakeResult(endpoint=it.endpoint, app="hello")

        await it.edge.put_ports("hello", ports(awake=False))
        assert "ports" not in it.edge.status().detail
        refused = await fetch(plain, "any.example", "/refused")
        assert (refused.status, refused.headers["roost-error"]) == (503, "not_woken")
        assert (await it.logged("/refused")).error == "stopped", "the log knows why"
        with pytest.raises(ConnectionError):
            await fetch(raw, "any.example")
        await until(lambda: any(r.protocol == "TCP" for _, r in it.ended), what="who was turned away is logged")
        away = next(r for _, r in it.ended if r.protocol == "TCP")
        assert (away.host, away.client, away.status, away.error) == (f":{raw}", "127.0.0.1", 503, "stopped")
        it.waker.on_port = wake
        for door in it.edge._public._doors._doors.values():
            door._closed_until = 0.0
        woken = await fetch(plain, "any.example", "/woken", method="POST", body=b"kept")
        assert (woken.status, woken.json()["host"]) == (200, "any.example")
        assert woken.json()["x-forwarded-port"] == str(plain)
        answer = await fetch(plain, "hello.localhost", "/awake", headers="Fly-Client-IP: 1.2.3.4\r\n")
        assert answer.json()["fly-client-ip"] == "127.0.0.1"
        assert answer.headers["server"] == "roost"
        logged = await it.logged("/awake")
        assert (logged.status, logged.machine) == (200, it.endpoint.machine_id)

        reader, writer = await asyncio.open_connection(
            "127.0.0.1", secure, ssl=source.context(), server_hostname="hello.localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            assert b'"x-forwarded-proto": "https"' in await reader.read()
        await it.edge.put_ports("hello", ports(awake=False))
        assert (await fetch(plain, "any.example")).status == 200, "woken again"
        assert (await it.get()).status == 200, "the shared port knows nothing of it"
        await it.edge.put_ports("hello", [])
