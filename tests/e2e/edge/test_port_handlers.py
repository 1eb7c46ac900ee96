"""What the handlers of an app's own ports do: TLS and the PROXY protocol."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.edge.cells_harness import CELLS, org_in
from tests.e2e.edge.edge_harness import AnyName, Bench, bench, free_port, spawn
from tests.e2e.tls.made import self_made

from roost.edge.contract import Endpoint, Material, PublicPort, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.model.port_options import HttpOptions, TlsOptions


class OneName:
    """Has a certificate for one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chain, self.key = self_made(name)

    async def certificate(self, host: str) -> Material | None:
        return Material(self.chain.encode(), self.key.encode()) if host == self.name else None

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.chain)


@asynccontextmanager
async def echo() -> AsyncIterator[Endpoint]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, size: int) -> bytes:
    writer.write(data)
    async with asyncio.timeout(10):
        return await reader.readexactly(size)


async def test_handlers(tmp_path: Path) -> None:
    tls, strict, v1, v2, both = (free_port() for _ in range(5))
    name = "db.localhost"
    source = OneName(name)
    async with bench(tmp_path, certificates=source) as it, echo() as app:
        handlers = ("tls",)
        ports = [
            PublicPort("db", tls, handlers=handlers, endpoints=(app,)),
            PublicPort("db", strict, handlers=handlers, tls=TlsOptions(("mqtt",), ("TLSv1.3",)), endpoints=(app,)),
            PublicPort("db", v1, handlers=("proxy_proto",), endpoints=(app,)),
            PublicPort("db", v2, handlers=("proxy_proto",), proxy_version="v2", endpoints=(app,)),
            PublicPort("db", both, handlers=("tls", "proxy_proto"), endpoints=(app,)),
        ]
        await it.edge.put_ports("db", ports)
        assert "ports" not in it.edge.status().detail

        async def secure(
            port: int, sni: str = name, **more: object
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            context = source.context()
            context.set_alpn_protocols(["mqtt", "http/1.1"])
            for key, value in more.items():
                setattr(context, key, value)
            return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=sni)

        async def plain(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port)

        # TLS ends at the edge, the app gets what is inside
        reader, writer = await secure(tls)
        assert await said(reader, writer, b"over TLS", 8) == b"over TLS"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        reader, writer = await secure(strict)
        assert await said(reader, writer, b"newest", 6) == b"newest"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "mqtt"
        with pytest.raises(ssl.SSLError):
            await secure(strict, maximum_version=ssl.TLSVersion.TLSv1_2)
        with pytest.raises((ssl.SSLError, OSError)):
            await secure(tls, sni="nobody.localhost")

        # the app is told who calls
        reader, writer = await plain(v1)
        mine, theirs = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {mine[1]} {theirs[1]}\r\n".encode()
        assert await said(reader, writer, b"x", len(line) + 1) == line + b"x"
        reader, writer = await secure(both)
        assert (await said(reader, writer, b"y", 20)).startswith(b"PROXY TCP4 127.0.0.1")
        reader, writer = await plain(v2)
        head = await said(reader, writer, b"z", 29)
        assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n"
        assert struct.unpack("!H", head[24:26]) == (writer.get_extra_info("sockname")[1],)
        assert head[28:] == b"z"


async def test_names_that_are_served_in_a_way_of_their_own(tmp_path: Path) -> None:
    source = AnyName()
    async with bench(tmp_path, certificates=source, cells=2) as it:
        await it.edge.put(it.route())
        it.waker.apps["strict.localhost"] = ("strict", it.endpoint)
        other = await by_name(it, "hello.localhost", ["http/1.1"])
        own = PublicPort(
            "strict", 443, "https", hosts=("strict.localhost",), handlers=("tls", "http"),
            tls=TlsOptions(("http/1.1",), ("TLSv1.3",)), http=HttpOptions(headers_timeout=1.0, pristine=True),
        )  # fmt: skip
        await it.edge.put_ports("strict", [own])
        assert "ports" not in it.edge.status().detail
        began = time.monotonic()
        slow, fast = await by_name(it, "strict.localhost"), await by_name(it, "hello.localhost", ["http/1.1"])
        for _, writer in (slow, fast):
            writer.write(b"GET / HTTP/1.1\r\n")
        reader, writer = await by_name(it, "strict.localhost")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        request = b"GET / HTTP/1.1\r\nHost: %s.localhost\r\n\r\n"
        head = await head_of(reader, writer, request % b"strict")
        assert head.startswith("http/1.1 200 ok"), "asleep: by the activator"
        assert not any(f"\n{name}:" in head for name in ("server", "via", "fly-request-id"))
        with pytest.raises((ssl.SSLError, OSError)):
            await by_name(it, "strict.localhost", maximum_version=ssl.TLSVersion.TLSv1_2)
        _, writer = await by_name(it, "hello.localhost", maximum_version=ssl.TLSVersion.TLSv1_2)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert (await asyncio.wait_for(slow[0].read(12), 10)) == b"HTTP/1.1 408"
        assert time.monotonic() - began < 4
        head = await head_of(*fast, b"Host: hello.localhost\r\n\r\n")
        assert all(f"\n{name}:" in head for name in ("server", "via", "fly-request-id"))
        it.edge.challenges.set_tls("strict.localhost", await source.certificate("strict.localhost"))
        _, writer = await by_name(it, "strict.localhost", protocols=["acme-tls/1"])
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "acme-tls/1"

        # another roostd learns of all its names at once: none is served in the common way for a moment
        again = EnvoyEdge(it.cloud, it.waker, spawn, EdgeOptions(cells=2), certificates=source)
        seen = []
        again._cells["0"].xds.set = lambda kind, one: seen.append(one) if one.name == "https" else None  # type: ignore[method-assign]
        more = PublicPort("more", 443, "https", hosts=("more.localhost",), tls=TlsOptions(("h2",)))
        await again._public.replace_all({"strict": [own], "more": [more]})
        assert [one.SerializeToString().count(b"/challenges") for one in seen] == [2]

        await it.edge.put_ports("strict", [])
        _, writer = await by_name(it, "strict.localhost", maximum_version=ssl.TLSVersion.TLSv1_2)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert await said(*other, request % b"hello", 15) == b"HTTP/1.1 200 OK", "others' connections go on"


async def head_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
    writer.write(request)
    async with asyncio.timeout(10):
        return (await reader.readuntil(b"\r\n\r\n")).decode().lower()


async def by_name(
    it: Bench, host: str, protocols: Sequence[str] = ("h2", "http/1.1"), **more: object
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    for key, value in more.items():
        setattr(context, key, value)
    return await asyncio.open_connection("127.0.0.1", it.cloud.https_port, ssl=context, server_hostname=host)


@pytest.mark.parametrize(("cells", "org"), [(1, ""), (CELLS, org_in("0", "1")), (CELLS, org_in("1", "2"))])
async def test_tls_is_passed_on_by_name(tmp_path: Path, cells: int, org: str) -> None:
    """With several cells, two orgs without a common first one: who asks is not led by chance."""
    edges, apps = OneName("hello.localhost"), OneName("own.localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = tmp_path / "own.pem"
    pem.write_text(apps.key + apps.chain)
    context.load_cert_chain(pem)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"own TLS: " + line)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    app = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
    async with bench(tmp_path, certificates=edges, cells=cells) as it:
        await it.edge.put(it.route())
        asleep = PublicPort("own", 443, "sni", hosts=("own.localhost",), org=org)

        async def secure(source: OneName) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            context = source.context()
            return await asyncio.open_connection(
                "127.0.0.1", it.cloud.https_port, ssl=context, server_hostname=source.name
            )

        async def wake(_app: str) -> WakeResult:
            await it.edge.put_ports("own", [replace(asleep, endpoints=(app,))])
            return WakeResult(endpoint=app, app="own")

        it.waker.on_port = wake
        other = await secure(edges)
        await it.edge.put_ports("own", [asleep])
        reader, writer = await secure(apps)
        assert await said(reader, writer, b"hi\n", 12) == b"own TLS: hi\n"
        assert it.waker.port_wakes == [("own", "sni", 443)]
        await it.edge.put_ports("own", [asleep])
        assert await said(reader, writer, b"on\n", 12) == b"own TLS: on\n"
        await it.edge.replace_all([it.route()], {"own": [asleep]})
        assert await said(*await secure(apps), b"hi\n", 12) == b"own TLS: hi\n"
        await it.edge.put_ports("own", [])
        request = b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n"
        assert (await said(*other, request, 15)) == b"HTTP/1.1 200 OK", "connections of others go on"
        reader, writer = await secure(edges)
        assert (await said(reader, writer, request, 15)) == b"HTTP/1.1 200 OK"
        with pytest.raises((ssl.SSLError, OSError)):
            await secure(apps)
        writer.close()
    server.close()
