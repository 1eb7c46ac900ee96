"""The port that all apps with the handler `pg_tls` share: its front, and what each cell knows of it.

State: the apps with their names, by cell. The front runs while there are any, so that the port is free for an app of
its own otherwise; it outlives roostd. Changes are collected and told at once by `apply`, which may be called again:
it tells the differences, and starts a front that could not start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from roost.edge.cell import Cell
from roost.edge.cells import Cells
from roost.edge.contract import PublicPort
from roost.edge.front import Front
from roost.edge.front_plan import shard_key
from roost.edge.listener import incoming_socket
from roost.edge.options import EdgeOptions
from roost.edge.postgres_config import PROTOCOL_KEY, postgres_listener
from roost.edge.postgres_front import NAME, front_of_postgres
from roost.edge.process import Limit, Spawn
from roost.edge.protos import LISTENER
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, HostFailure

Key = tuple[str, int]  # protocol and port


class PostgresPorts:
    """Apps that clients of Postgres reach by name."""

    def __init__(self, cloud: Cloud, options: EdgeOptions, cells: Cells, spawn: Spawn, limit: Limit) -> None:
        self._port, self._cells = options.postgres_port, cells
        sockets = {name: _socket(cell) for name, cell in cells.items()}
        design = front_of_postgres(cloud, self._port, sockets, options.balancers)
        self._front = Front(cloud, design, spawn, limit) if self._port else None
        self._running = False
        self._ports: dict[str, PublicPort] = {}
        self._changed: set[str] = set()  # cells

    def keys(self, keys: Iterable[Key]) -> list[Key]:
        """Return the shared port as one of TCP, if there are apps that share it among these ports."""
        return (
            [("tcp", self._port)] if self._port and any(key[0].startswith(f"{PROTOCOL_KEY}:") for key in keys) else []
        )

    def set(self, port: PublicPort) -> None:
        """Lead an app's names to it."""
        self._ports[port.app] = port
        self._changed.add(self._cells.first_of(port.org).name)

    def drop(self, app: str) -> None:
        """Lead an app's names to it no more; its connections go on while its cluster is there."""
        if (old := self._ports.pop(app, None)) is not None:
            self._changed.add(self._cells.first_of(old.org).name)

    async def apply(self) -> str:
        """Tell the cells and the front what has changed; returns why the port is not served, "" if all is well."""
        changed, self._changed = self._changed, set()
        for name in changed:
            cell = self._cells[name]
            theirs = [port for port in self._ports.values() if self._cells.first_of(port.org) is cell]
            if theirs:
                cell.xds.set(LISTENER, postgres_listener(theirs, cell.place, _socket(cell)))
            elif NAME in cell.xds.table[LISTENER]:
                cell.xds.delete(LISTENER, NAME)
        if self._front is None:
            return "the cloud has no port for Postgres" if self._ports else ""
        try:
            await (self._lead(self._front) if self._ports else self._end(self._front))
        except (HostFailure, Conflict, OSError) as error:
            return str(error)
        return ""

    async def stand_in(self) -> None:
        """Without roostd: keep the front running, if a cell had an app for it."""
        if self._front is not None and any(NAME in cell.xds.table[LISTENER] for cell in self._cells.values()):
            with contextlib.suppress(HostFailure, Conflict, OSError):
                await self._start(self._front)

    async def stop(self, *, front_too: bool) -> None:
        """Stop looking after the front; end it only when asked."""
        if self._front is not None and (self._running or front_too):
            self._running = False
            await self._front.stop(front_too=front_too)

    async def look_after(self) -> None:
        """Put the front's map right if it is not what is wanted. On a period."""
        if self._front is not None and self._running:
            await self._front.repair()

    def detail(self) -> dict[str, object]:
        """Return how the front is, for the status; nothing when no app asks for it."""
        return self._front.detail() if self._front is not None and self._running else {}

    async def _lead(self, front: Front) -> None:
        wanted = {host: self._cells.first_of(port.org).name for port in self._ports.values() for host in port.hosts}
        await self._start(front)
        await front.follow({host: shard_key([cell]) for host, cell in wanted.items()})

    async def _start(self, front: Front) -> None:
        if not self._running:
            await front.start()
            self._running = True

    async def _end(self, front: Front) -> None:
        if self._running or front.has_run:
            self._running = False
            await front.stop(front_too=True)


def _socket(cell: Cell) -> Path:
    return incoming_socket(cell.files.postgres, NAME)
