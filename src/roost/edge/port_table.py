"""The public ports that apps have for themselves, and how each goes.

State: the ports that control put, and those that are not served, with the reason. What they are in Envoy is in
`port_resources`, what becomes of clients while an app sleeps in `port_doors`. All of it can be lost: control puts its
ports again. Putting the same twice does nothing; what Envoy refused is tried again every `RETRY` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from roost.edge.cells import Cells
from roost.edge.contract import PublicPort, Waker
from roost.edge.named_https import HTTPS_BY_NAME
from roost.edge.port_doors import Key, PortDoors, key_of
from roost.edge.port_resources import PortResources
from roost.edge.postgres_config import PROTOCOL_KEY
from roost.edge.postgres_ports import PostgresPorts
from roost.model.errors import RoostError

Guard = Callable[[Collection[Key]], None]  # is told which ports of apps there are; may take some milliseconds
RETRY = 10.0
_log = logging.getLogger("roost.edge")


class PortTable:
    """Ports by app. All calls are on one event loop."""

    def __init__(
        self, cells: Cells, waker: Waker, postgres: PostgresPorts,
        guard: Guard = lambda _ports: None, refused: Callable[[str, str], None] = lambda _app, _code: None,
    ) -> None:  # fmt: skip
        self._cells, self.postgres = cells, postgres
        self._guard, self._guarding = guard, asyncio.Lock()
        self._resources, self._doors = PortResources(cells, postgres), PortDoors(waker, refused)
        self._ports: dict[Key, PublicPort] = {}
        self._troubles: dict[Key, str] = {}
        self._retry_at = 0.0

    async def put(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Have these ports, and no others, lead to the app; returns when Envoy has acknowledged it or refused."""
        await self._take_away(app, {key_of(port) for port in ports})
        await self._have_guarded({*self._ports, *map(key_of, ports)})
        await asyncio.gather(*(self._put(port) for port in ports))

    async def replace_all(self, ports: Mapping[str, Sequence[PublicPort]]) -> None:
        """Set the whole table without waiting for Envoy, before what it has beyond the table is removed."""
        for app in {port.app for port in self._ports.values()} - set(ports):
            await self._take_away(app, set())
        self._resources.set_names([port for found in ports.values() for port in found])
        for app, found in ports.items():
            await self._take_away(app, {key_of(port) for port in found})
            for port in found:
                await self._set(port)
        if trouble := await self.postgres.apply():
            self._troubles |= {key: trouble for key, port in self._ports.items() if port.protocol == PROTOCOL_KEY}
        await self._have_guarded(set(self._ports))

    async def renew(self) -> None:
        """Tell cells of all ports again, after their places have changed."""
        for port in list(self._ports.values()):
            await self._set(port)
        await self.postgres.apply()

    async def close(self, *, front_too: bool) -> None:
        """Close the doors; what Envoy serves goes on, and so does the front for Postgres unless it shall end too."""
        await self.postgres.stop(front_too=front_too)
        await self._doors.close_all()

    @property
    def troubles(self) -> dict[str, str]:
        """The ports that are not served, by port and protocol, and why."""
        return {f"{port}/{protocol}": why for (protocol, port), why in sorted(self._troubles.items())}

    async def look_after(self, active: Iterable[str]) -> None:
        """Drop clusters whose app has nothing under way any more; try again what Envoy refused. On a period."""
        await self.postgres.look_after()
        self._resources.drop_idle(set(active))
        if self._troubles and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY
            for key in [key for key in self._troubles if key in self._ports]:
                await self._put(self._ports[key], again=True)

    async def _have_guarded(self, keys: set[Key]) -> None:
        async with self._guarding:
            try:
                await asyncio.to_thread(
                    self._guard, [*self.postgres.keys(keys), *(key for key in keys if key[0] in ("tcp", "udp"))]
                )
            except (RoostError, OSError) as error:
                _log.warning("connections to apps' own ports are not counted: %s", error)

    async def _put(self, port: PublicPort, *, again: bool = False) -> None:
        key = key_of(port)
        if self._ports.get(key) == port and not again:
            return
        await self._set(port)
        refusal = await self._resources.settle(port, again=again)
        if self._ports.get(key) is not port:
            return
        if refusal:
            self._troubles[key] = _plain(port, refusal)
            _log.warning("port %d (%s) of %s is not served: %s", port.port, port.protocol, port.app, refusal)
            self._cells.first_of(port.org).xds.latest_refusal = ""  # it has its own place in the status
            return
        self._troubles.pop(key, None)
        self._doors.acknowledged(port)

    async def _set(self, port: PublicPort) -> None:
        self._ports[key_of(port)] = port
        if port.protocol == HTTPS_BY_NAME:
            self._resources.set_name(port)
        else:
            self._resources.set(port, await self._doors.follow(port, self._cells.first_of(port.org)))

    async def _take_away(self, app: str, keep: set[Key]) -> None:
        for key in [key for key, port in self._ports.items() if port.app == app and key not in keep]:
            port = self._ports.pop(key)
            self._troubles.pop(key, None)
            await self._doors.close(port)
            await self._resources.remove(port)


def _plain(port: PublicPort, words: str) -> str:
    if "ddress already in use" in words:
        return f"another program of the server has the port ({port.app} asks for it)"
    return words[:300]
