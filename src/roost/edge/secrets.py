"""Answers Envoy's questions for certificates: which names it asks for, and what the source says of each.

State: the names that were answered, oldest first. All of it can be lost: Envoy asks again. A question that can't be
answered now (the database is away) is asked again after a second; Envoy keeps what it has meanwhile. Envoy never
drops a name by itself, and a client may invent names below a wildcard: beyond `MOST` the oldest are taken away
again, to be asked for anew when they are used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from roost.edge.contract import CertificateSource
from roost.edge.tls import CLOUD, NAMELESS, host_of_secret, secret
from roost.edge.xds import XdsServer

MOST = 20_000
AT_ONCE = 16
PAUSE = 1.0  # seconds before a question that failed is asked again
_log = logging.getLogger("roost.edge")


class SecretKeeper:
    """Keeps the secrets of the xDS server equal to what the source has."""

    def __init__(self, xds: XdsServer, source: CertificateSource, domain: str, *, most: int = MOST) -> None:
        self._xds, self._source, self._domain, self._most = xds, source, domain, most
        self._answered: dict[str, None] = {}
        self._stale: set[str] = set()
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        xds.wanted = self._news.set

    def changed(self, hosts: Iterable[str]) -> None:
        """Have what is held of these host names asked for again; a wildcard means all that it covers."""
        for host in hosts:
            parent = host.removeprefix("*.")
            self._stale |= {name for name in self._answered if _concerns(self.host_of(name), host, parent)}
        self._news.set()

    def host_of(self, name: str) -> str:
        """Return the host name that a secret is for."""
        return host_of_secret(name, self._domain)

    async def run(self) -> None:
        """Answer, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            asked = self._xds.asked_secrets()
            gone = [name for name in self._answered if name not in asked]
            self._xds.forget_secrets(gone)
            for name in gone:
                del self._answered[name]
            stale, self._stale = self._stale & asked, set()
            names = stale | {name for name in asked if name not in self._answered}
            failed = [name for name in await asyncio.gather(*map(self._answer, names)) if name]
            if failed:
                self._stale.update(failed)
                asyncio.get_running_loop().call_later(PAUSE, self._news.set)
            self._take_away()

    async def _answer(self, name: str) -> str:
        """Ask the source for one; returns the name if that failed."""
        async with self._slots:
            try:
                found = await self._source.certificate(self.host_of(name))
            except Exception as error:
                _log.warning("can't look up the certificate of %s: %s", name[:100], error)
                return name
        self._answered.pop(name, None)
        self._answered[name] = None
        self._xds.set_secret(name, secret(name, found) if found is not None else None)
        return ""

    def _take_away(self) -> None:
        surplus = len(self._answered) - self._most
        for name in [name for name in self._answered if name not in (CLOUD, NAMELESS)][: max(0, surplus)]:
            self._xds.set_secret(name, None)


def _concerns(host: str, changed: str, parent: str) -> bool:
    return host == changed or (changed != parent and host.partition(".")[2] == parent)
