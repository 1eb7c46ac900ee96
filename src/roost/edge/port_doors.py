"""The doors of public ports: where connections and datagrams to a sleeping app's port wait while it is woken.

State: a door per port, and whether Envoy knows the machines of its app by now. All of it can be lost: doors are made
again with the ports. A port keeps its door while its app is awake, since the app may fall asleep at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from roost.edge.cell import Cell
from roost.edge.confinement import hand_over
from roost.edge.contract import PublicPort, Refusal, Waker, WakeResult
from roost.edge.datagram_door import DatagramDoor
from roost.edge.named_https import HTTPS_BY_NAME
from roost.edge.port_door import PortDoor
from roost.edge.postgres_config import PROTOCOL_KEY

Key = tuple[str, int]  # protocol and port, with the app where one port leads to many
BY_NAME = ("sni", HTTPS_BY_NAME, PROTOCOL_KEY)  # protocols of ports that lead to many apps, by the name a client says
OPENED = 10.0  # seconds between a wake and Envoy's acknowledgement of the machines
_log = logging.getLogger("roost.edge")


def key_of(port: PublicPort) -> Key:
    """Return what a port is known by: only one can have it."""
    return (f"{port.protocol}:{port.app}", port.port) if port.protocol in BY_NAME else (port.protocol, port.port)


class PortDoors:
    """Doors by port. `refused` is told an app and why it could not be woken. All calls are on one event loop."""

    def __init__(self, waker: Waker, refused: Callable[[str, str], None]) -> None:
        self._waker, self._refused = waker, refused
        self._doors: dict[Key, PortDoor | DatagramDoor] = {}
        self._awake: dict[Key, asyncio.Event] = {}

    async def follow(self, port: PublicPort, cell: Cell) -> Path | int:
        """Have the door of a port, before Envoy is told of it; returns its socket, or with UDP its own port."""
        key = key_of(port)
        event = self._awake.setdefault(key, asyncio.Event())
        if not port.endpoints:
            event.clear()
        if key not in self._doors:
            await (self._open_datagrams(port) if port.protocol == "udp" else self._open(port, cell))
        door = self._doors[key]
        return door.port if isinstance(door, DatagramDoor) else _path(cell, port)

    def acknowledged(self, port: PublicPort) -> None:
        """Let in who waits, if the port has machines: Envoy knows them now."""
        if port.endpoints and (event := self._awake.get(key_of(port))) is not None:
            event.set()

    async def close(self, port: PublicPort) -> None:
        """Close a port's door."""
        self._awake.pop(key_of(port), None)
        if (door := self._doors.pop(key_of(port), None)) is not None:
            await door.stop()

    async def close_all(self) -> None:
        """Close all doors."""
        for door in self._doors.values():
            await door.stop()
        self._doors.clear()

    async def _open(self, port: PublicPort, cell: Cell) -> None:
        key, path = key_of(port), _path(cell, port)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o711)

        async def opened() -> None:
            async with asyncio.timeout(OPENED):
                await self._awake[key].wait()

        door = PortDoor(path, lambda: self._wake(port), opened, lambda why: self._tell(port, why), _report)
        await door.start()
        hand_over(path, cell.user)
        self._doors[key] = door

    async def _open_datagrams(self, port: PublicPort) -> None:
        door = DatagramDoor(lambda: self._wake(port), lambda why: self._tell(port, why), _report)
        self._doors[key_of(port)] = door
        await door.start()

    async def _wake(self, port: PublicPort) -> WakeResult:
        return await self._waker.wake_port(port.app, port.protocol, port.port)

    def _tell(self, port: PublicPort, why: Refusal) -> None:
        _log.warning("port %d of %s could not wake it: %s", port.port, port.app, why.message)
        self._refused(port.app, why.code)


def _path(cell: Cell, port: PublicPort) -> Path:
    if port.protocol in BY_NAME:  # one port, many apps; and names of sockets are short
        return cell.files.door(port.protocol, hashlib.blake2b(port.app.encode(), digest_size=8).hexdigest())
    return cell.files.door(port.protocol, port.port)


def _report(error: BaseException) -> None:
    if not isinstance(error, TimeoutError):
        _log.error("a connection to a sleeping app's port failed", exc_info=error)
