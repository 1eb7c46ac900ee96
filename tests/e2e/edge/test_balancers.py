"""Load balancers before the edge: they say who calls, by the PROXY protocol, and nobody else is believed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import AnyName, Bench, bench, free_port, until
from tests.e2e.edge.test_postgres import TLS, recorder
from tests.e2e.edge.test_postgres import app as database

from roost.edge import front_plan
from roost.edge.front_plan import front_files

V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(
    "!BBH4s4sHH", 0x21, 0x11, 12, socket.inet_aton("203.0.113.9"), socket.inet_aton("192.0.2.1"), 40000, 443
)
V6 = struct.pack("!HH", 40000, 443)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + V6


def v2(command: int, family: int, body: bytes = V2[16:], length: int = -1) -> bytes:
    """Spell a header of version 2, whose length may be a lie."""
    return V2[:12] + struct.pack("!BBH", command, family, len(body) if length < 0 else length) + body


async def told(it: Bench, head: bytes, *, source: str = "127.0.0.1", tls: bool = False) -> dict[str, str]:
    """Return what the app is told when a connection from `source` begins with `head`; {} when it is refused."""
    port = it.cloud.https_port if tls else it.cloud.http_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        async with asyncio.timeout(10):
            writer.write(head)
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                await writer.start_tls(context, server_hostname="hello.localhost")
            writer.write(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
    except (ConnectionError, ssl.SSLError):
        return {}
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return dict(json.loads(body)) if head.startswith(b"HTTP/1.1 200") else {}


@pytest.mark.parametrize("cells", [1, 2])
async def test_balancers_say_who_calls(tmp_path: Path, cells: int) -> None:
    async with bench(tmp_path, cells=cells, certificates=AnyName(), balancers=("127.0.0.1/32",)) as it:
        await it.edge.put(it.route())
        for head in (V1, V2):
            for tls in (False, True):
                found = await told(it, head, tls=tls)
                assert found["fly-client-ip"] == found["x-forwarded-for"] == "203.0.113.9", (head, tls)
        assert await told(it, b"") == {}, "a balancer that says nothing is refused"
        other = await told(it, b"", source="127.0.0.2")
        assert other["fly-client-ip"] == "127.0.0.2", "others are who they are"
        for head in (V1, V2):
            assert await told(it, head, source="127.0.0.2") == {}, "and can't say otherwise"
        assert it.cell.plan.caps.connections == (20_000 if cells == 1 else 10_000)
        assert front_files(it.cloud, "front").pid.exists()


async def test_what_a_balancer_may_say(tmp_path: Path) -> None:
    async with bench(tmp_path, balancers=("127.0.0.1/32",)) as it:
        await it.edge.put(it.route())
        known = {
            "203.0.113.9": [V2[:14] + struct.pack("!H", 512) + V2[16:] + b"\x04\1\xf1" + b"z" * 497],
            "2001:db8::9": [v2(0x21, 0x21, V6), b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 443\r\n"],
            "127.0.0.1": [v2(0x20, 0, b""), v2(0x20, 0x11), b"PROXY UNKNOWN\r\n"],  # the balancer's own, its checks
        }
        for client, heads in known.items():
            for head in heads:
                assert (await told(it, head)).get("fly-client-ip") == client, head
        refused = [
            v2(0x21, 0x31, b"x" * 216), v2(0x21, 0x12), v2(0x21, 0, b""), v2(0x25, 0x11), v2(0x11, 0x11),
            v2(0x21, 0x71), v2(0x21, 0x11, b"1234"), v2(0x21, 0x11, length=65535),
            v2(0x21, 0x11, V2[16:] + b"\x04" + struct.pack("!H", 60000) + b"z" * 60000), V2[:14], b"PROXY TCP4 203.0.",
            b"PROXY TCP4 " + b"1" * 200 + b"\r\n", b"PROXY TCP4 999.1.1.1 x y z\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 99999\r\n", b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\n",
            V1 + V1, V1 + V2, V2 + V2,
        ]  # fmt: skip
        for head, found in zip(refused, await asyncio.gather(*(told(it, one) for one in refused)), strict=True):
            assert found == {}, head
        assert (await told(it, V2))["fly-client-ip"] == "203.0.113.9"


async def test_a_balancer_that_says_nothing_is_ended_and_an_answer_may_take_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_plan, "FIRST_BYTES", "500ms")
    async with bench(tmp_path, balancers=("127.0.0.1/32",)) as it:
        await it.edge.put(it.route())
        silent, mute = await asyncio.open_connection("127.0.0.1", it.cloud.http_port)
        answer, writer = await asyncio.open_connection("127.0.0.1", it.cloud.http_port)
        writer.write(V1 + b"GET /hold HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
        try:
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await silent.read() == b""
                await asyncio.sleep(1.0)  # twice as long as one may be silent before the first request
                it.app.release.set()
                assert (await answer.readline()).startswith(b"HTTP/1.1 200")
        finally:
            mute.close()
            writer.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_app_is_told_of_the_client_that_a_balancer_names(tmp_path: Path, version: str) -> None:
    """By IPv6 too, which only a balancer before the edge takes."""
    port, context = free_port(), ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    lines = {V1: V1, v2(0x21, 0x21, V6): b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 443\r\n"}
    async with (
        bench(tmp_path, certificates=AnyName(), postgres_port=port, balancers=("127.0.0.1/32",)) as it,
        recorder() as (told, place),
    ):
        at = database("db", place, handlers=("pg_tls", "proxy_proto"), proxy_version=version)
        await it.edge.put_ports("db", [at])
        for head, line in lines.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(5):
                writer.write(head + TLS)
                assert await reader.readexactly(1) == b"S"
                await writer.start_tls(context, server_hostname="db.localhost")
            writer.write(b"hello")
            expected = (line if version == "v1" else v2(0x21, 0x21, V6) if head != V1 else V2) + b"hello"
            await until(lambda wanted=expected: told[-1:] == [wanted], what="the app is told who calls")  # type: ignore[misc]
            writer.close()
