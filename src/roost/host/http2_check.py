"""One HTTP request over HTTP/2 without TLS, as health checks of servers of gRPC need it. Owns no state."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from roost.model.machine_config import Check

_SETTINGS = 4  # the kind of frame with which each server begins


class NoAnswer(Exception):
    """The server's bytes are no answer. `refused`: it speaks HTTP/2, and took no such request, as those of gRPC."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


def is_greeting(data: bytes) -> bool:
    """Say whether what a server said first is HTTP/2."""
    return len(data) >= 9 and data[3] == _SETTINGS and data[5:9] == b"\0\0\0\0"


async def ask(
    check: Check, authority: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, most: int
) -> tuple[int, bytes]:
    """Return an answer's status and the first `most` bytes of its body; raises NoAnswer, OSError."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    said = {name.lower(): value for name, value in check.headers}
    named = said.pop("host", authority)
    pseudo = [(":method", check.method), (":scheme", "http"), (":authority", named), (":path", check.path)]
    try:
        connection.send_headers(1, [*pseudo, *({"user-agent": "roost-health-check"} | said).items()], end_stream=True)
    except h2.exceptions.ProtocolError as error:
        raise NoAnswer(f"the check's request can't be sent: {error}") from None
    status, body = 0, b""
    try:
        while len(body) < most:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                break
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int({str(name): value for name, value in event.headers}[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamReset) and not status:
                    raise NoAnswer("it takes no such request; check a server of gRPC by TCP", refused=True)
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return _ended(status, body)
    except (h2.exceptions.ProtocolError, ValueError, KeyError) as error:
        raise NoAnswer(f"no HTTP/2: {error}") from None
    return _ended(status, body)


def _ended(status: int, body: bytes) -> tuple[int, bytes]:
    if not status:
        raise NoAnswer("the connection or the stream ended without an answer")
    return status, body
