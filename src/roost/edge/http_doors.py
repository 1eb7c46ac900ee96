"""The doors of sleeping apps that speak HTTP/2 only: their requests wait in Envoy, not at the activator.

The activator moves bytes of HTTP/1.1, which such an app does not understand. So its route stays in Envoy while it
sleeps, and its cluster leads to a door (see port_door.py); Envoy tries again when the door hangs up, and speaks HTTP/2
to the machine. State: a door per app and cell; all of it can be lost and is made again with the routes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from roost.edge.cell import Cell
from roost.edge.confinement import hand_over
from roost.edge.contract import Refusal, Route, Waker
from roost.edge.port_door import PortDoor

OPENED = 10.0  # seconds between a wake and Envoy's acknowledgement of the machines
_log = logging.getLogger("roost.edge")


class HttpDoors:
    """Doors by app. All calls are on one event loop."""

    def __init__(self, waker: Waker, refused: Callable[[str, str], None] = lambda _app, _code: None) -> None:
        self._waker, self._refused = waker, refused
        self._doors: dict[str, dict[str, PortDoor]] = {}  # app -> cell -> door
        self._awake: dict[str, asyncio.Event] = {}

    @staticmethod
    def path(cell: Cell, app: str) -> Path:
        """Return where an app's door is; its name has a bounded length, as sockets ask for."""
        return cell.files.door("http", hashlib.blake2b(app.encode(), digest_size=8).hexdigest())

    async def follow(self, route: Route, cells: Iterable[Cell]) -> None:
        """Have the doors that a route needs, before Envoy is told of it."""
        if not route.http.h2_backend:
            await self.close(route.app)
            return
        event = self._awake.setdefault(route.app, asyncio.Event())
        if not route.endpoints:
            event.clear()
        doors = self._doors.setdefault(route.app, {})
        for cell in cells:
            if cell.name not in doors:
                doors[cell.name] = await self._open(route, cell)

    def acknowledged(self, route: Route) -> None:
        """Let in who waits, if the route has machines: Envoy knows them now."""
        if route.endpoints and route.app in self._awake:
            self._awake[route.app].set()

    async def close(self, app: str) -> None:
        """Close an app's doors."""
        self._awake.pop(app, None)
        for door in self._doors.pop(app, {}).values():
            await door.stop()

    async def close_all(self) -> None:
        """Close all doors."""
        for app in list(self._doors):
            await self.close(app)

    async def _open(self, route: Route, cell: Cell) -> PortDoor:
        app, host, path = route.app, route.hosts[0], self.path(cell, route.app)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o711)

        def refused(why: Refusal) -> None:
            _log.warning("requests to %s were refused: %s", app, why.message)
            self._refused(app, why.code)

        async def opened() -> None:
            async with asyncio.timeout(OPENED):
                await self._awake[app].wait()

        door = PortDoor(path, lambda: self._waker.wake(host), opened, refused, _report)
        await door.start()
        hand_over(path, cell.user)
        return door


def _report(error: BaseException) -> None:
    if not isinstance(error, TimeoutError | KeyError):
        _log.error("a request to a sleeping app failed", exc_info=error)
