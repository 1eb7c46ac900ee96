"""Answers to certificate authorities that check a name: HTTP-01 on the http port, TLS-ALPN-01 on the https port.

State: the challenges under way, in memory; whoever goes on with an order sets them again. Nothing else is answered:
an unknown token goes the way of any request, an unknown name fails its handshake. Keys of TLS-ALPN-01 are
made for one check and held in memory only. Setting and clearing may be done from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

from roost.edge.contract import Material

PATH = "/.well-known/acme-challenge/"
PROTOCOL = "acme-tls/1"
HANDSHAKE_TIMEOUT = 10.0


class Challenges:
    """The challenges under way."""

    def __init__(self) -> None:
        self._http: dict[tuple[str, str], str] = {}
        self._tls: dict[str, ssl.SSLContext] = {}

    def set_http(self, host: str, token: str, answer: str) -> None:
        """Answer HTTP-01 for a host's token."""
        self._http[(host, token)] = answer

    def clear_http(self, host: str, token: str) -> None:
        """Answer no longer."""
        self._http.pop((host, token), None)

    def answer(self, host: str, target: str) -> str | None:
        """Return the answer to a request, None when it is no challenge that is under way."""
        if not self._http or not target.startswith(PATH):
            return None
        return self._http.get((host, target.removeprefix(PATH)))

    def set_tls(self, host: str, material: Material) -> None:
        """Answer TLS-ALPN-01 for a host with this certificate."""
        self._tls[host] = _context(material)

    def clear_tls(self, host: str) -> None:
        """Answer no longer."""
        self._tls.pop(host, None)

    async def serve(self, path: Path) -> asyncio.Server:
        """Answer TLS-ALPN-01 on a unix socket, to which an Envoy passes such connections on."""
        path.unlink(missing_ok=True)
        context = _bare()
        context.sni_callback = self._choose
        return await asyncio.start_unix_server(_greet, path, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        chosen = self._tls.get((name or "").lower())
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = chosen
        return None


async def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The handshake is all: close."""
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), 1.0)


def _bare() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([PROTOCOL])
    return context


def _context(material: Material) -> ssl.SSLContext:
    """Return a context with a certificate. OpenSSL takes files only: this one is in memory and has no name."""
    context = _bare()
    handle = os.memfd_create("challenge", os.MFD_CLOEXEC)
    try:
        os.write(handle, material.key + material.chain)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context
