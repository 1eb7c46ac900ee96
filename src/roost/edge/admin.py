"""Questions to Envoy's admin interface, on its unix socket. Owns no state; each call has a deadline.

They are asked each second, so without a client library's work: a connection, a request, an answer until its end.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from roost.edge.admission import WAITING
from roost.edge.port_config import app_of_port
from roost.edge.snapshot import app_of, cluster_name
from roost.model.errors import HostFailure

_ACTIVE = "|".join(
    (
        r"^cluster\.app/{0}\.upstream_rq_(pending_)?active$",
        r"^dynamicmodulescustom\.waiting\.of\.(app|port/http)/(.*/)?{0}$",
        r"^cluster\.port/(tcp|sni|pg)/.*/{0}\.upstream_cx_active$",
        r"^udp\.port/udp/.*/{0}\.downstream_sess_active$",
    )
)


class _Received:
    """What came over a connection, in the form in which `HTTPResponse` takes it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


class Admin:
    """A client of one Envoy's admin socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def active_requests(self, app: str, timeout: float = 2.0) -> dict[str, int]:
        """Return the requests and connections under way of one app, if it has some; those that wait count.

        Raises HostFailure when Envoy does not answer.
        """
        text = await self.gauges(_ACTIVE.format(app), timeout)
        active: dict[str, int] = {}
        for line in text.splitlines():
            name, _, value = line.rpartition(": ")
            if name.startswith(WAITING):
                cluster = name.removeprefix(WAITING)
            else:
                cluster = name.removeprefix("cluster.").removeprefix("udp.").rpartition(".")[0]
            if value.isdigit() and (found := app_of(cluster) or app_of_port(cluster)):
                active[found] = active.get(found, 0) + int(value)
        return {found: count for found, count in active.items() if count}

    async def stats(self, pattern: str, timeout: float = 2.0) -> str:
        """Return the numbers whose names match, one a line, those never used left out. Raises HostFailure."""
        return await self._ask("GET", "/stats", {"filter": pattern, "usedonly": ""}, timeout=timeout)

    async def gauges(self, pattern: str, timeout: float = 2.0) -> str:
        """Return the gauges whose names match, one a line, those never used left out. Raises HostFailure."""
        query = {"filter": pattern, "usedonly": "", "type": "Gauges"}
        return await self._ask("GET", "/stats", query, timeout=timeout)

    async def listeners(self, timeout: float = 2.0) -> set[str]:
        """Return the names of the listeners that take connections. Raises HostFailure."""
        text = await self._ask("GET", "/listeners", {}, timeout=timeout)
        return {line.partition("::")[0] for line in text.splitlines()}

    async def ejected(self, app: str, timeout: float = 2.0) -> list[tuple[str, int]]:
        """Return address and port of the machines of an app that get no requests since they failed again and again.

        Raises HostFailure when Envoy does not answer.
        """
        name = cluster_name(app)
        text = await self._ask("GET", "/clusters", {"format": "json", "filter": f"^{name}$"}, timeout=timeout)
        found = []
        for cluster in json.loads(text).get("cluster_statuses", ()):
            for host in cluster.get("host_statuses", ()) if cluster.get("name") == name else ():
                if host.get("health_status", {}).get("failed_outlier_check"):
                    at = host["address"]["socket_address"]
                    found.append((str(at["address"]), int(at["port_value"])))
        return found

    async def downstream_active(self, timeout: float = 2.0) -> int:
        """Return the requests of all clients under way."""
        text = await self._ask("GET", "/stats", {"filter": r"^http\.edge\.downstream_rq_active$"}, timeout=timeout)
        return int(text.rpartition(": ")[2] or 0)

    async def drain(self, timeout: float = 2.0) -> None:
        """Ask Envoy to take no new connections and to close those that are idle."""
        await self._ask("POST", "/drain_listeners", {"graceful": ""}, timeout=timeout)

    async def _ask(self, method: str, path: str, query: Mapping[str, str], *, timeout: float) -> str:
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(spelled(target, method).encode())
                    data = await reader.read()
                finally:
                    writer.close()
            return _text(data)
        except (HTTPException, OSError) as error:  # a TimeoutError is one
            raise HostFailure(f"Envoy's admin interface did not answer {path}: {type(error).__name__}") from None


def spelled(target: str, method: str = "GET") -> str:
    """Return a question as it goes over a connection of its own."""
    return f"{method} {target} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n"


def _text(data: bytes) -> str:
    """Return the body of an answer; raises HTTPException for one that is torn or tells of a failure."""
    if b"\r\n\r\n" not in data:  # which `HTTPResponse` takes for an answer without headers
        raise HTTPException("a torn head")
    response = HTTPResponse(cast("Any", _Received(data)))
    response.begin()
    if response.status != HTTPStatus.OK:
        raise HTTPException(f"status {response.status}")
    return response.read().decode()
