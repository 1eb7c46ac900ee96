"""The clients of bench/zero_lost.py: they call one app in every way until stdin says so; what failed is printed.

Arguments: port, host, https port, https host, the authority's file, seconds of the longest WebSocket. Each kind of
client counts what went well and says of each failure when and what. A kept connection that the edge said it would
close is closed and made anew; any other end of a connection, any status but 200 and any answer that is not whole is a
failure.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import connect

PAUSE = 0.02  # seconds between two requests of a client
PATIENCE = 30.0
PIECE = 64 * 1024
PIECES = 20  # of an upload, over a second


@dataclass
class Target:
    """Where clients go: in the clear, or by TLS."""

    port: int
    host: str
    tls: ssl.SSLContext | None = None

    async def open(self) -> Link:
        """Connect."""
        name = self.host if self.tls else None
        return Link(self, *await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname=name))


@dataclass
class Link:
    """A connection that may be used again and again."""

    target: Target
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closing: bool = False

    async def ask(self, path: str, pieces: int = 0) -> bytes:
        """Make a request and return the body; raises OSError, EOFError or ValueError when it is not a whole 200."""
        method, length = ("POST", f"Content-Length: {pieces * PIECE}\r\n") if pieces else ("GET", "")
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self.target.host}\r\n{length}\r\n".encode())
        for _ in range(pieces):
            self.writer.write(b"x" * PIECE)
            await self.writer.drain()
            await asyncio.sleep(1 / pieces)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.closing = "\r\nconnection: close" in head
        body = b"".join([part async for part in self._body(head)])
        if not head.startswith("http/1.1 200"):
            raise ValueError(f"{head.splitlines()[0]} {body[:200]!r}")
        return body

    async def _body(self, head: str) -> AsyncIterator[bytes]:
        if "transfer-encoding: chunked" not in head:
            yield await self.reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            return
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    def close(self) -> None:
        """Close it."""
        self.writer.close()


@dataclass
class Tally:
    """What became of the requests, by kind."""

    well: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, float, str]] = field(default_factory=list)  # kind, Unix time, what

    async def count(self, kind: str, work: Awaitable[None]) -> bool:
        """Do one piece of work and count it."""
        began = time.time()
        try:
            async with asyncio.timeout(PATIENCE):
                await work
        except Exception as error:
            took = time.time() - began
            self.failed.append((kind, time.time(), f"{type(error).__name__} {str(error)[:300]} after {took:.3f} s"))
            return False
        self.well[kind] += 1
        return True


async def kept(tally: Tally, kind: str, target: Target, done: asyncio.Event, pause: float) -> None:
    """Ask again and again on a connection that is kept."""
    link: Link | None = None

    async def once() -> None:
        nonlocal link
        if link is None or link.closing:
            if link is not None:
                link.close()
            link = await target.open()
        await link.ask("/")

    while not done.is_set():
        if not await tally.count(kind, once()) and link is not None:
            link.close()
            link = None
        await asyncio.sleep(pause)
    if link is not None:
        link.close()


async def anew(tally: Tally, kind: str, target: Target, done: asyncio.Event, use: Callable[[Link], Awaitable[None]],
               pause: float = PAUSE) -> None:  # fmt: skip
    """Use a new connection each time."""

    async def once() -> None:
        link = await target.open()
        try:
            await use(link)
        finally:
            link.close()

    while not done.is_set():
        await tally.count(kind, once())
        await asyncio.sleep(pause)


async def get(link: Link) -> None:
    """Make one small request."""
    await link.ask("/")


async def stream(link: Link) -> None:
    """Read a stream of two seconds, all of it."""
    if (got := await link.ask("/stream")) != b"".join(b"%d\n" % number for number in range(20)):
        raise ValueError(f"{len(got)} bytes of a stream")


async def upload(link: Link) -> None:
    """Send more than a megabyte slowly."""
    if (got := await link.ask("/upload", PIECES)) != b"%d" % (PIECES * PIECE):
        raise ValueError(f"the app got {got!r} bytes")


async def socket(tally: Tally, kind: str, target: Target, done: asyncio.Event, seconds: int) -> None:
    """Talk over WebSockets, each so long; every echo counts."""

    async def session() -> None:
        scheme = "wss" if target.tls else "ws"
        url = f"{scheme}://{target.host}:{target.port}/echo"
        async with connect(url, host="127.0.0.1", port=target.port, ssl=target.tls) as link:
            for number in range(seconds * 10):
                await link.send(str(number))
                if (got := await link.recv()) != str(number):
                    raise ValueError(f"{got!r} came back")
                await asyncio.sleep(0.1)

    while not done.is_set():
        await tally.count(kind, session())


async def main() -> None:
    """Call until stdin says so; print JSON."""
    port, host, https_port, https_host, authority, longest = sys.argv[1:]
    plain = Target(int(port), host)
    secure = Target(int(https_port), https_host, ssl.create_default_context(cafile=authority))
    tally, done, ways = Tally(), asyncio.Event(), (("http", plain), ("https", secure))
    clients = [
        *(kept(tally, f"keep-alive {name}", where, done, pause)
          for name, where in ways for pause in (PAUSE, PAUSE, 0.4)),
        *(anew(tally, f"new connection {name}", where, done, get) for name, where in ways),
        *(anew(tally, "long stream", where, done, stream) for where in (plain, secure)),
        *(anew(tally, "upload", where, done, upload) for where in (plain, secure)),
        *(socket(tally, "WebSocket", where, done, min(3, int(longest))) for where in (plain, secure)),
        socket(tally, "long WebSocket", plain, done, int(longest)),
    ]  # fmt: skip
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client)
        print("begun", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        done.set()
    print(json.dumps({"well": tally.well, "failed": tally.failed}))


if __name__ == "__main__":
    asyncio.run(main())
