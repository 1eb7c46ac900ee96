"""Asks a machine for its metrics: one HTTP request to its private address, bounded in time and size.

It owns no state; the connection is closed whatever happens. What comes back is hostile and stays bytes here.
"""

from __future__ import annotations

import asyncio
import os
import ssl

import h11

from roost.model.serving_config import Metrics

_ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


class ScrapeFailed(Exception):
    """There was no answer that could be used; the text says why."""


async def fetch(metrics: Metrics, address: str, *, timeout: float, limit: int) -> bytes:
    """Return the body of the answer, at most `limit` bytes; raises ScrapeFailed within `timeout` seconds."""
    where = f"{address}:{metrics.port}"
    try:
        async with asyncio.timeout(timeout):
            tls = _any_certificate() if metrics.https else None
            reader, writer = await asyncio.open_connection(address, metrics.port, ssl=tls, limit=65536)
            try:
                return await _ask(metrics.path, where, reader, writer, limit)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise ScrapeFailed(f"{where} did not answer within {timeout:g} s") from None
    except ssl.SSLError as error:
        raise ScrapeFailed(f"{where}: TLS: {error.reason or 'the handshake failed'}") from None
    except h11.ProtocolError as error:
        raise ScrapeFailed(f"{where} gave no valid HTTP answer: {error}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ScrapeFailed(f"{where}: {reason}") from None


async def _ask(path: str, where: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> bytes:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    headers = [("Host", where), ("Accept", _ACCEPT), ("User-Agent", "roost-metrics"), ("Connection", "close")]
    writer.write(connection.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            if event.status_code != 200:
                raise ScrapeFailed(f"GET {path} answered {event.status_code}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise ScrapeFailed(f"GET {path} answered more than {limit >> 10} KiB")
        elif not isinstance(event, h11.InformationalResponse):
            return bytes(body)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
