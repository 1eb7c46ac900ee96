"""HTTP/2 by hand: frames and header blocks that no well-behaved client sends."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
Headers = Sequence[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(headers: Headers) -> bytes:
    """A header block without indexing: what is sent is what is there, and the table stays empty."""
    found = b""
    for name, value in headers:
        found += b"\x00" + _length(len(name)) + name + _length(len(value)) + value
    return found


def _length(number: int) -> bytes:
    if number < 127:
        return bytes((number,))
    number -= 127
    found = b"\x7f"
    while number >= 128:
        found += bytes((number % 128 + 128,))
        number //= 128
    return found + bytes((number,))


def get(host: str, path: str = "/", method: str = "GET") -> Headers:
    return (
        (b":method", method.encode()),
        (b":scheme", b"http"),
        (b":authority", host.encode()),
        (b":path", path.encode()),
    )


class Connection:
    """A connection after its preface. `closed` is set at its end, `goaway` holds the error code it ended with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder = hpack.Decoder()
        self.statuses: dict[int, list[int]] = defaultdict(list)
        self.bodies: dict[int, bytes] = defaultdict(bytes)
        self.resets: dict[int, int] = {}
        self.ended: set[int] = set()
        self.goaway: int | None = None
        self.closed = False
        self.acks = 0
        self.reading = True
        self._change = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    def send(self, *frames: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(b"".join(frames))

    def ask(self, stream: int, headers: Headers, *, end: bool = True) -> None:
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(headers)))

    def pause(self) -> None:
        """Read no more."""
        self._task.cancel()
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def is_over(self, stream: int) -> bool:
        return self.closed or stream in self.ended or stream in self.resets

    async def over(self, stream: int, timeout: float = 5.0) -> None:
        """Wait until a stream has ended in whatever way."""
        async with asyncio.timeout(timeout):
            while not self.is_over(stream):
                self._change.clear()
                await self._change.wait()

    async def end(self, timeout: float = 5.0) -> None:
        """Wait until the other side has closed."""
        async with asyncio.timeout(timeout):
            await asyncio.shield(self._task)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.writer.transport.abort()

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)
                self._change.set()
        except (OSError, asyncio.IncompleteReadError):
            self.closed = True
            self._change.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            for name, value in self._decoder.decode(payload, raw=True):
                if bytes(name) == b":status":
                    self.statuses[stream].append(int(value))
        elif kind == DATA:
            self.bodies[stream] += payload
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and flags & ACK:
            self.acks += 1
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)


@cache
def unverified(protocol: str) -> ssl.SSLContext:
    """TLS with whoever answers; without the host's authorities, which take long to load."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


@asynccontextmanager
async def connected(
    port: int, *, name: str = "", settings: bytes = b"", source: str = "127.0.0.1"
) -> AsyncIterator[Connection]:
    """Connect; by TLS when there is a server's name."""
    context = unverified("h2") if name else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name or None, local_addr=(source, 0)
    )
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
    connection = Connection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()
