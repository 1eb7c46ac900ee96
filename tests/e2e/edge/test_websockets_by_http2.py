"""WebSockets as streams of HTTP/2 (RFC 8441), which browsers use where a server offers it."""

from __future__ import annotations

import asyncio
import os

import h2.config
import h2.connection
import h2.events
import h2.settings
from tests.e2e.edge.edge_harness import Bench, until
from websockets.asyncio.server import ServerConnection, serve

from roost.edge.contract import Endpoint, Route


class Client:
    """A connection of HTTP/2 in the clear; `said` holds what came by stream, `status` how each was answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.status: dict[int, str] = {}
        self.said: dict[int, bytes] = {}
        self.ended: set[int] = set()

    async def until(self, key: int, size: int = 0) -> None:
        """Read until a stream is answered and has said so many bytes, or has ended."""
        async with asyncio.timeout(10):
            while key not in self.ended and (key not in self.status or len(self.said.get(key, b"")) < size):
                await self.read()

    async def read(self) -> None:
        self._writer.write(self.http.data_to_send())
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionError("the edge hung up")
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.status[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.said[event.stream_id] = self.said.get(event.stream_id, b"") + event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
        self._writer.write(self.http.data_to_send())

    def open(self, host: str, protocol: str = "websocket") -> int:
        stream = self.http.get_next_available_stream_id()
        asked = [
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", host),
            (":path", "/chat"), ("sec-websocket-version", "13"), ("origin", "http://ws.localhost"),
        ]  # fmt: skip
        self.http.send_headers(stream, asked)
        return stream

    def say(self, stream: int, text: bytes, kind: int = 1) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        self.http.send_data(stream, bytes((0x80 | kind, 0x80 | len(text))) + mask + masked)


async def test_websockets_by_http2(at: Bench) -> None:
    paths = []

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(
            (connection.request.path, connection.request.headers["Host"], connection.request.headers["Origin"])
        )
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        endpoint = Endpoint("m", "127.0.0.1", next(iter(server.sockets)).getsockname()[1])
        at.waker.apps["ws.localhost"] = ("ws", endpoint)
        reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
        client = Client(reader, writer)
        await client.read()
        assert client.http.remote_settings.enable_connect_protocol == 1
        asleep = client.open("ws.localhost")
        await client.until(asleep)
        assert client.status[asleep] == "200", client.said
        await at.edge.put(Route("ws", ("ws.localhost",), (endpoint,)))
        awake = client.open("ws.localhost")
        for stream in (asleep, awake):
            client.say(stream, b"hello")
            await client.until(stream, 7)
            assert (client.status[stream], client.said[stream]) == ("200", b"\x81\x05hello")
        await until(lambda: at.edge.traffic("ws").active == 2)
        assert paths == [("/chat", "ws.localhost", "http://ws.localhost")] * 2
        other = client.open("ws.localhost", "connect-udp")
        await client.until(other)
        assert client.status[other] == "404" and b"no_route" in client.said[other], "no other protocol is let through"
        for stream in (asleep, awake):
            client.say(stream, b"\x03\xe8", kind=8)
            await client.until(stream, 7 + 4)
        await until(lambda: at.edge.traffic("ws").active == 0)
        writer.close()
