"""An app that keeps what it got and reads it by the letter: what is not plainly one request is a fault."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LINE = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1")
_NAME = re.compile(rb"[a-zA-Z0-9!#$&'*+.^`|~-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")


@dataclass(frozen=True)
class Got:
    method: str
    target: str
    host: str
    body: bytes
    headers: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.method} {self.target} {self.body.decode('latin-1')}"


class Fault(Exception):
    """A message that is not plainly one request."""


@dataclass
class Recorder:
    """Answers 200 with what it took the request for."""

    port: int = 0
    requests: list[Got] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                got = await self._request(reader)
                self.requests.append(got)
                body = str(got).encode("latin-1")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except Fault as fault:
            self.faults.append(str(fault))
        except asyncio.IncompleteReadError as error:
            if error.partial.strip():
                self.faults.append(f"it ended in the middle: {error.partial[:200]!r}")
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Got:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        if not _LINE.fullmatch(first):
            raise Fault(f"not a request line: {head[:200]!r}")
        headers = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise Fault(f"not a header line: {line!r}")
            headers.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
        hosts = [value for name, value in headers if name == "host"]
        if len(hosts) != 1:
            raise Fault(f"{len(hosts)} hosts: {head[:300]!r}")
        method, target, _ = first.decode().split(" ")
        return Got(method, target, hosts[0], await self._body(headers, head, reader), tuple(headers))

    async def _body(self, headers: list[tuple[str, str]], head: bytes, reader: asyncio.StreamReader) -> bytes:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value for name, value in headers if name == "transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Fault(f"several lengths: {head!r}")
        if lengths:
            if not re.fullmatch(r"[0-9]{1,12}", lengths[0]):
                raise Fault(f"not a length: {lengths[0]!r}")
            return await reader.readexactly(int(lengths[0]))
        if not codings:
            return b""
        if codings[0] != "chunked":
            raise Fault(f"not a coding: {codings[0]!r}")
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}\r\n", line):
                raise Fault(f"not a chunk: {line[:100]!r}")
            data = await reader.readexactly(int(line, 16) + 2)
            if data[-2:] != b"\r\n":
                raise Fault(f"a chunk's end: {data[-20:]!r}")
            if len(data) == 2:
                return body
            body += data[:-2]


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.handle, "127.0.0.1", 0, backlog=1024, limit=1 << 20)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
