"""The public ports that apps have for themselves: which cell serves each, and how it goes.

State: the ports that control put, with their doors; ports that Envoy refused, and why; clusters whose port is gone and
that still have connections. A port is served by the first cell of its org, without the front: the client's address is
seen, and when that cell dies the port is back with it. All of it can be lost: control puts its ports again. Putting the
same twice does nothing; what Envoy refused is tried again every `RETRY` seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from roost.edge.cell import Cell
from roost.edge.cells import Cells
from roost.edge.confinement import hand_over
from roost.edge.contract import PublicPort, Refusal, Waker, WakeResult
from roost.edge.datagram_door import DatagramDoor
from roost.edge.listener import HTTPS
from roost.edge.named_https import HTTPS_BY_NAME, chains_of_app
from roost.edge.port_config import chain_by_name, port_cluster, port_listener, port_name
from roost.edge.port_door import PortDoor
from roost.edge.port_http import http_cluster, http_listener, http_routes
from roost.edge.postgres_config import PROTOCOL_KEY
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.postgres_ports import PostgresPorts
from roost.edge.protos import CLUSTER, LISTENER, ROUTES
from roost.model.errors import RoostError

Key = tuple[str, int]  # protocol and port
Guard = Callable[[Collection[Key]], None]  # is told which ports of apps there are; may take some milliseconds
BY_NAME = (
    "sni",
    HTTPS_BY_NAME,
    PROTOCOL_KEY,
)  # protocols of ports that lead to many apps, by the name that a client says
RETRY = 10.0
ACKNOWLEDGED = 5.0  # seconds that Envoy may take for a change
OPENING = 2.0  # seconds from there until it takes connections
OPENED = 10.0  # seconds between a wake and Envoy's acknowledgement of the machines
_log = logging.getLogger("roost.edge")


class PortTable:
    """Ports by app. All calls are on one event loop."""

    def __init__(
        self, cells: Cells, waker: Waker, postgres: PostgresPorts,
        guard: Guard = lambda _ports: None, refused: Callable[[str, str], None] = lambda _app, _code: None,
    ) -> None:  # fmt: skip
        self._guard, self._guarding = guard, asyncio.Lock()
        self._refused, self.postgres = refused, postgres
        self._cells, self._waker = cells, waker
        self._ports: dict[Key, PublicPort] = {}
        self._doors: dict[Key, PortDoor | DatagramDoor] = {}
        self._awake: dict[Key, asyncio.Event] = {}
        self._troubles: dict[Key, str] = {}
        self._leaving: dict[str, Cell] = {}  # clusters by name
        self._retry_at = 0.0

    async def put(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Have these ports, and no others, lead to the app; returns when Envoy has acknowledged it or refused."""
        await self._take_away(app, {_key(port) for port in ports})
        await self._have_guarded({*self._ports, *map(_key, ports)})
        await asyncio.gather(*(self._put(port) for port in ports))

    async def replace_all(self, ports: Mapping[str, Sequence[PublicPort]]) -> None:
        """Set the whole table without waiting for Envoy, before what it has beyond the table is removed."""
        for app in {port.app for port in self._ports.values()} - set(ports):
            await self._take_away(app, set())
        self._serve_by_name([port for found in ports.values() for port in found])
        for app, found in ports.items():
            await self._take_away(app, {_key(port) for port in found})
            for port in found:
                await self._set(port)
        if trouble := await self.postgres.apply():
            self._troubles |= {key: trouble for key, port in self._ports.items() if port.protocol == PROTOCOL_KEY}
        await self._have_guarded(set(self._ports))

    def _serve_by_name(self, ports: Sequence[PublicPort]) -> None:
        """Tell cells of all names on the https port at once: one by one, those to come would be gone for a moment."""
        for cell in self._cells.values():
            named = {port_name(one): chains_of_app(one, cell.place) for one in ports if one.protocol == HTTPS_BY_NAME}
            passed = {
                port_name(one): [chain_by_name(one, cell.place.log)]
                for one in ports
                if one.protocol == "sni" and self._cells.first_of(one.org) is cell
            }
            cell.base.serve_by_name(named | passed)

    async def close(self, *, front_too: bool) -> None:
        """Close the doors; what Envoy serves goes on, and so does the front for Postgres unless it shall end too."""
        await self.postgres.stop(front_too=front_too)
        for door in self._doors.values():
            await door.stop()
        self._doors.clear()

    @property
    def troubles(self) -> dict[str, str]:
        """The ports that are not served, by port and protocol, and why."""
        return {f"{port}/{protocol}": why for (protocol, port), why in sorted(self._troubles.items())}

    @property
    def count(self) -> int:
        """How many ports there are."""
        return len(self._ports)

    async def look_after(self, active: Iterable[str]) -> None:
        """Drop clusters whose app has nothing under way any more; try again what Envoy refused. On a period."""
        await self.postgres.look_after()
        busy = set(active)
        for name, cell in list(self._leaving.items()):
            if name.rpartition("/")[2] not in busy:
                cell.xds.delete(CLUSTER, name)
                del self._leaving[name]
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
        key, name = _key(port), port_name(port)
        if self._ports.get(key) == port and not again:
            return
        await self._set(port)
        refusal: str | None = await self.postgres.apply() if port.protocol == PROTOCOL_KEY else ""
        cell = self._cells.first_of(port.org)
        if again:
            cell.xds.try_again(LISTENER, _listener_of(port))
        needed = cell.plan.alone
        if port.protocol != HTTPS_BY_NAME:
            refusal = refusal or await cell.settle(CLUSTER, [name], ACKNOWLEDGED, needed=needed)
        refusal = refusal or await cell.settle(LISTENER, [_listener_of(port)], ACKNOWLEDGED, needed=needed)
        if not refusal and cell.pid:
            await cell.opened(_listener_of(port), OPENING)
        if self._ports.get(key) is not port:
            return
        if refusal:
            self._troubles[key] = _plain(port, refusal)
            _log.warning("port %d (%s) of %s is not served: %s", port.port, port.protocol, port.app, refusal)
            cell.xds.latest_refusal = ""  # it has its own place in the status
            return
        self._troubles.pop(key, None)
        if port.endpoints:
            self._awake[key].set()

    async def _set(self, port: PublicPort) -> None:
        key, name, cell = _key(port), port_name(port), self._cells.first_of(port.org)
        self._ports[key] = port
        event = self._awake.setdefault(key, asyncio.Event())
        if not port.endpoints:
            event.clear()
        if port.protocol == HTTPS_BY_NAME:
            for one in self._cells.values():
                one.base.serve_by_name({name: chains_of_app(port, one.place)})
            return
        if key not in self._doors:
            await self._open_door(key, port, cell)
        self._leaving.pop(name, None)
        door = self._doors[key]
        place = door.port if isinstance(door, DatagramDoor) else _door_path(cell, port)
        if port.protocol == "sni":
            cell.xds.set(CLUSTER, port_cluster(port, place))
            cell.base.serve_by_name({name: [chain_by_name(port, cell.place.log)]})
            return
        if port.protocol == PROTOCOL_KEY:
            cell.xds.set(CLUSTER, port_cluster(port, place))
            self.postgres.set(port)
            return
        if "http" in port.handlers and isinstance(place, Path):
            cell.xds.set(CLUSTER, http_cluster(port, place))
            cell.xds.set(ROUTES, http_routes(port))
            cell.xds.set(LISTENER, http_listener(port, cell.place))
            return
        cell.xds.set(CLUSTER, port_cluster(port, place))
        place_of = cell.place
        listener = port_listener(
            port, place_of.log, place_of.domain, shared=place_of.shared, udp_as_client=place_of.udp_as_client
        )
        cell.xds.set(LISTENER, listener)

    async def _open_door(self, key: Key, port: PublicPort, cell: Cell) -> None:
        def refused(why: Refusal) -> None:
            _log.warning("port %d of %s could not wake it: %s", port.port, port.app, why.message)
            self._refused(port.app, why.code)

        async def wake() -> WakeResult:
            return await self._waker.wake_port(port.app, port.protocol, port.port)

        if port.protocol == "udp":
            datagrams = self._doors[key] = DatagramDoor(wake, refused, _report)
            await datagrams.start()
            return
        path = _door_path(cell, port)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o711)

        async def opened() -> None:
            async with asyncio.timeout(OPENED):
                await self._awake[key].wait()

        door = PortDoor(path, wake, opened, refused, _report)
        await door.start()
        hand_over(path, cell.user)
        self._doors[key] = door

    async def _take_away(self, app: str, keep: set[Key]) -> None:
        for key in [key for key, port in self._ports.items() if port.app == app and key not in keep]:
            port = self._ports.pop(key)
            name, cell = port_name(port), self._cells.first_of(port.org)
            self._troubles.pop(key, None)
            self._awake.pop(key, None)
            if (door := self._doors.pop(key, None)) is not None:
                await door.stop()
            if port.protocol in ("sni", HTTPS_BY_NAME):
                for one in self._cells.values():
                    one.base.serve_by_name({name: []})
            elif port.protocol == PROTOCOL_KEY:
                self.postgres.drop(port.app)
                await self.postgres.apply()
            else:
                cell.xds.delete(LISTENER, name)
            if name in cell.xds.table[ROUTES]:
                cell.xds.delete(ROUTES, name)
            if name in cell.xds.table[CLUSTER]:
                self._leaving[name] = cell
            await cell.settle(LISTENER, [_listener_of(port)], ACKNOWLEDGED, needed=False)


def _key(port: PublicPort) -> Key:
    return (f"{port.protocol}:{port.app}", port.port) if port.protocol in BY_NAME else (port.protocol, port.port)


def _listener_of(port: PublicPort) -> str:
    return {"sni": HTTPS, HTTPS_BY_NAME: HTTPS, PROTOCOL_KEY: POSTGRES}.get(port.protocol) or port_name(port)


def _door_path(cell: Cell, port: PublicPort) -> Path:
    if port.protocol in BY_NAME:  # one port, many apps; and names of sockets are short
        return cell.files.door(port.protocol, hashlib.blake2b(port.app.encode(), digest_size=8).hexdigest())
    return cell.files.door(port.protocol, port.port)


def _plain(port: PublicPort, words: str) -> str:
    if "ddress already in use" in words:
        return f"another program of the server has the port ({port.app} asks for it)"
    return words[:300]


def _report(error: BaseException) -> None:
    if not isinstance(error, TimeoutError):
        _log.error("a connection to a sleeping app's port failed", exc_info=error)
