"""HTTP/3: a client of QUIC gets what others get, by the names that there are certificates for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from tests.e2e.edge.cells_harness import CELLS, org_in, pid_of
from tests.e2e.edge.edge_harness import Bench, bench, until
from tests.e2e.tls.made import self_made

from roost.edge.contract import Material, Route
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.edge.process import wait_for_end
from roost.edge.protos import LISTENER, SECRET
from roost.edge.quic import NAME, hosts_of


class Client(QuicConnectionProtocol):
    """Asks, and gathers the answers by stream."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = H3Connection(self._quic)
        self._answers: dict[int, tuple[dict[str, str], bytearray, asyncio.Future[None]]] = {}

    def quic_event_received(self, event: Any) -> None:
        for one in self._http.handle_event(event):
            if isinstance(one, HeadersReceived | DataReceived):
                headers, body, done = self._answers[one.stream_id]
                if isinstance(one, HeadersReceived):
                    headers.update({key.decode(): value.decode() for key, value in one.headers})
                else:
                    body.extend(one.data)
                if one.stream_ended and not done.done():
                    done.set_result(None)

    async def ask(self, host: str, path: str, body: bytes = b"") -> tuple[dict[str, str], bytes]:
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        headers, got, _ = self._answers[stream] = {}, bytearray(), done
        asked = [(":method", "POST" if body else "GET"), (":scheme", "https"), (":authority", host), (":path", path)]
        if body:
            asked.append(("content-length", str(len(body))))
        self._http.send_headers(stream, [(key.encode(), value.encode()) for key, value in asked], not body)
        if body:
            self._http.send_data(stream, body, True)
        self.transmit()
        async with asyncio.timeout(10):
            await done
        return headers, bytes(got)


class Certificates:
    """A wildcard for the cloud's domain, and one name."""

    def __init__(self) -> None:
        self.made = {name: self_made(name) for name in ("*.apps.test", "shop.example")}

    async def certificate(self, host: str) -> Material | None:
        return Material(*(part.encode() for part in self.made[host])) if host in self.made else None


def trusting(name: str, authority: str, **options: Any) -> QuicConfiguration:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name, **options)
    configuration.load_verify_locations(cadata=authority.encode())
    return configuration


@asynccontextmanager
async def quic(port: int, name: str, authority: str) -> AsyncIterator[Client]:
    configuration = trusting(name, authority)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as client:
        yield client  # type: ignore[misc]


async def told_of(it: Bench, host: str, authority: str) -> int:
    """Return the port for HTTP/3 that an answer by TCP tells of."""
    context = ssl.create_default_context(cadata=authority)
    reader, writer = await asyncio.open_connection("127.0.0.1", it.cloud.https_port, ssl=context, server_hostname=host)
    try:
        writer.write(f"GET /by-tcp HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    found = re.search(rb'\r\nalt-svc: h3=":(\d+)"; ma=86400\r\n', head)
    assert found is not None, head
    return int(found[1])


async def greeted(port: int, name: str, authority: str) -> None:
    """Return when a connection by this name is made: Envoy acknowledges a chain before it has its certificate."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(ConnectionError):
                async with connect("127.0.0.1", port, configuration=trusting(name, authority, idle_timeout=0.5)):
                    return


async def test_http3(tmp_path: Path) -> None:
    source = Certificates()
    async with bench(tmp_path, certificates=source, http3=True, domain="apps.test") as it:
        it.waker.apps["hello.apps.test"] = ("hello", it.endpoint)
        host, authority = "hello.apps.test", source.made["*.apps.test"][0]
        async with quic(it.cloud.https_port, host, authority) as client:
            assert (await client.ask(host, "/asleep"))[0][":status"] == "200"
            await it.edge.put(Route("hello", ("hello.apps.test", "shop.example"), (it.endpoint,)))
            headers, body = await client.ask(host, "/x")
            told = json.loads(body)
            assert (headers[":status"], told["host"], told["x-forwarded-proto"]) == ("200", host, "https")
            assert told["fly-client-ip"] == "127.0.0.1"
            _, body = await client.ask(host, "/upload", b"u" * 300_000)
            assert json.loads(body)["size"] == "300000"
            assert (await client.ask("nobody.apps.test", "/"))[0][":status"] == "404"
            assert client._http.received_settings is not None
            assert client._http.received_settings[Setting.ENABLE_CONNECT_PROTOCOL] == 1, "WebSockets (RFC 9220)"
        assert (await it.logged("/x")).protocol == "HTTP/3"
        for host, made in (("hello.apps.test", "*.apps.test"), ("shop.example", "shop.example")):
            assert await told_of(it, host, source.made[made][0]) == it.cloud.https_port
        await _own_names(it, source)


async def _own_names(it: Bench, source: Certificates) -> None:
    """A name of an app's own is served as soon as it was told of; connections of others go on, and it stays asleep."""
    port, host = it.cloud.https_port, "shop.example"
    async with quic(port, "hello.apps.test", source.made["*.apps.test"][0]) as kept:
        assert (await kept.ask("hello.apps.test", "/"))[0][":status"] == "200"
        await it.edge._upkeep.measure()
        http3 = it.cell.xds.table[LISTENER][NAME]
        assert hosts_of(http3) == {host}
        assert await it.cell.settle(LISTENER, [NAME], 5.0, needed=True) == ""
        await greeted(port, host, source.made[host][0])
        async with quic(port, host, source.made[host][0]) as own:
            headers, body = await own.ask(host, "/mine")
            assert (headers[":status"], json.loads(body)["host"]) == ("200", host)
            assert (await kept.ask("hello.apps.test", "/still"))[0][":status"] == "200"
            await it.edge.remove("hello")
            await it.edge._upkeep.measure()
            assert it.cell.xds.table[LISTENER][NAME].version == http3.version, "a sleeping app's names stay"
            it.waker.apps[host] = ("hello", it.endpoint)
            assert (await own.ask(host, "/wakes"))[0][":status"] == "200"
            await it.edge.stop(envoy_too=False)
            it.edge = EnvoyEdge(
                it.cloud, it.waker, it.edge._cells["0"].keeper._spawn, EdgeOptions(http3=True), certificates=source
            )
            await it.edge.start()
            assert it.cell.base.is_up_to_date(), "the next roostd knows it"
            await until(lambda: host in it.cell.xds.table[SECRET])
            it.cell.secrets.changed([host])
            del source.made[host]  # the certificate is gone, and with it the way
            await until(lambda: host not in it.cell.xds.table[SECRET])
            await it.edge._upkeep.measure()
            assert hosts_of(it.cell.xds.table[LISTENER][NAME]) == set()
            assert (await kept.ask("hello.apps.test", "/last"))[0][":status"] == "200"


async def test_each_cell_has_a_port_of_its_own(tmp_path: Path) -> None:
    """A client goes to its host's cell, by the answer that came by TCP; when that cell dies, to the org's second."""
    source, cells = Certificates(), {"ape": ("0", "1"), "ant": ("1", "2")}
    authority = source.made["*.apps.test"][0]
    async with bench(tmp_path, certificates=source, http3=True, domain="apps.test", cells=CELLS) as it:
        for app, (first, second) in cells.items():
            host = f"{app}.apps.test"
            it.waker.apps[host] = (app, it.endpoint)
            await it.edge.put(Route(app, (host,), (it.endpoint,), org=org_in(first, second)))
        for app, shard in cells.items():
            host, port = f"{app}.apps.test", it.cloud.https_port
            assert await told_of(it, host, authority) == port + int(shard[0])
            for cell in shard:
                async with quic(port + int(cell), host, authority) as client:
                    headers, body = await client.ask(host, f"/{app}{cell}")
                    assert (headers[":status"], json.loads(body)["host"]) == ("200", host)
                    assert json.loads(body)["fly-client-ip"] == "127.0.0.1"
                assert (await it.logged(f"/{app}{cell}", app)).protocol == "HTTP/3"
        assert it.waker.calls == 0, "both cells of an org know its apps"
        os.kill(killed := pid_of(it, "1"), signal.SIGKILL)
        await asyncio.wait_for(wait_for_end(killed), 5.0)
        told = await told_of(it, "ant.apps.test", authority)
        async with quic(told, "ant.apps.test", authority) as client:
            assert (await client.ask("ant.apps.test", "/after"))[0][":status"] == "200"
