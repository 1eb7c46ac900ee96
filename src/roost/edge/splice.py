"""Bytes between Envoy and a machine: connecting, moving, and refusing with a page. What activator and replays share.

It owns no state. Every wait has a bound; a side that goes away is an OSError to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from roost.edge.contract import Endpoint, Refusal
from roost.edge.http_head import END
from roost.edge.pages import Page, negotiate, reason
from roost.model.edge_errors import edge_error

HEAD_TIMEOUT = 10.0
CONNECT_TIMEOUT = 5.0
REFUSED_PATIENCE = 1.0  # seconds to go on trying a port that refuses, although the waker saw it accept
LINGER = 1.0  # seconds to swallow an upload that was refused, so that the client reads the answer
CHUNK = 256 * 1024

BAD_HEAD = Refusal(400, "none", "bad_request", "The request can't be read.", "Send one Host header and up to 64 KiB.")
BROKEN = Refusal(503, "cloud", "wake_failed", "The cloud could not wake this app.", "Try again; see roostd's log.")


def refusal_of(code: str) -> Refusal:
    """Return what to say of a class of error, in the words of the table."""
    error = edge_error(code)
    return Refusal(error.status, error.fault, error.code, error.message, error.hint)


CLOSED = refusal_of("app_closed_connection")


def not_listening(endpoint: Endpoint) -> Refusal:
    """Return what to say when a machine's port takes no connections."""
    return Refusal(
        502, "app", "app_not_listening",
        f"The app does not accept connections on port {endpoint.port}.",
        "It must listen on 0.0.0.0 and the internal_port of its service. `roost logs` shows what it said.",
    )  # fmt: skip


async def connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a machine; raises OSError or TimeoutError when it can't be done."""
    deadline = time.monotonic() + REFUSED_PATIENCE
    while True:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await asyncio.open_connection(
                    endpoint.address, endpoint.port, limit=CHUNK, family=socket.AF_INET
                )
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


async def move(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Move bytes until the source ends."""
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()


async def flush(writer: asyncio.StreamWriter) -> None:
    """Hand all that was written to the kernel, then end our side."""
    async with asyncio.timeout(CONNECT_TIMEOUT):
        writer.close()
        await writer.wait_closed()


async def refuse(
    method: str, accept: str, refusal: Refusal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer with a page, and swallow some of an upload so that the client gets to read it."""
    page = Page(refusal.status, refusal.fault, refusal.code, refusal.message, refusal.hint)
    content_type, body = negotiate(page, accept)
    lines = [
        f"HTTP/1.1 {refusal.status} {reason(refusal.status)}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        f"Roost-Error: {refusal.code}",
        f"Roost-Fault: {refusal.fault}",
    ]
    if fly := edge_error(refusal.code).fly:
        lines.append(f"Fly-Error: {fly}")
    if refusal.status == 503:
        lines.append("Retry-After: 2")
    text = "\r\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines)
    await send_last(method, text, body, reader, writer)


async def send_last(
    method: str, head: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a response of our own, and read on for a while, so that a client that still sends gets to see it."""
    writer.write(head.encode("latin-1", "replace") + END + (b"" if method == "HEAD" else body))
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER):
            await writer.drain()
            writer.write_eof()
            while await reader.read(CHUNK):
                pass
