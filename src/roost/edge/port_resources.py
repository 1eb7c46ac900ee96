"""What a public port is in the cells: a cluster, and a listener of its own or chains in one that many apps share.

A port is served by the first cell of its org, without the front: the client's address is seen, and when that cell dies
the port is back with it. Only names on the https port that ask for a way of their own are in all cells. State: clusters
whose port is gone and that still have connections. Setting the same twice tells Envoy nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from roost.edge.cell import Cell
from roost.edge.cells import Cells
from roost.edge.contract import PublicPort
from roost.edge.leading import PASSED_ON
from roost.edge.listener import HTTPS
from roost.edge.named_https import HTTPS_BY_NAME, chains_of_app
from roost.edge.port_config import chain_by_name, port_cluster, port_listener, port_name
from roost.edge.port_http import http_cluster, http_listener, http_routes
from roost.edge.postgres_config import PROTOCOL_KEY
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.postgres_ports import PostgresPorts
from roost.edge.protos import CLUSTER, LISTENER, ROUTES

ACKNOWLEDGED = 5.0  # seconds that Envoy may take for a change
OPENING = 2.0  # seconds from there until it takes connections


class PortResources:
    """Clusters and listeners of public ports. All calls are on one event loop."""

    def __init__(self, cells: Cells, postgres: PostgresPorts) -> None:
        self._cells, self._postgres = cells, postgres
        self._leaving: dict[str, Cell] = {}  # clusters by name

    def set_names(self, ports: Sequence[PublicPort]) -> None:
        """Tell cells of all names on the https port at once: one by one, those to come would be gone for a moment."""
        for cell in self._cells.values():
            named = {port_name(one): chains_of_app(one, cell.place) for one in ports if one.protocol == HTTPS_BY_NAME}
            passed = {
                port_name(one): [chain_by_name(one, cell.place.log)]
                for one in ports
                if one.protocol == PASSED_ON and cell in self._cells.of(one.org)
            }
            cell.base.serve_by_name(named | passed)

    def set_name(self, port: PublicPort) -> None:
        """Tell all cells of an app's names on the https port, and how they are served there."""
        for cell in self._cells.values():
            cell.base.serve_by_name({port_name(port): chains_of_app(port, cell.place)})

    def set(self, port: PublicPort, door: Path | int) -> None:
        """Tell the port's cell of it; while the app sleeps it leads to the door."""
        name, cell = port_name(port), self._cells.first_of(port.org)
        self._leaving.pop(name, None)
        if "http" in port.handlers and isinstance(door, Path) and port.protocol not in (PASSED_ON, PROTOCOL_KEY):
            cell.xds.set(CLUSTER, http_cluster(port, door))
            cell.xds.set(ROUTES, http_routes(port))
            cell.xds.set(LISTENER, http_listener(port, cell.place))
            return
        cell.xds.set(CLUSTER, port_cluster(port, door, cell.plan.caps.of_port))
        if port.protocol == PASSED_ON:
            for one in self._cells.of(port.org):  # the second lacks the cluster, and ends what comes: it is not the app
                one.base.serve_by_name({name: [chain_by_name(port, one.place.log)]})
        elif port.protocol == PROTOCOL_KEY:
            self._postgres.set(port)
        else:
            cell.xds.set(LISTENER, port_listener(port, cell.place))

    async def settle(self, port: PublicPort, *, again: bool = False) -> str:
        """Wait until the port is served; returns why it is not, "" also when Envoy does not answer in time.

        `again`: what Envoy refused is told to it once more.
        """
        cell, listener = self._cells.first_of(port.org), _listener_of(port)
        refusal: str | None = await self._postgres.apply() if port.protocol == PROTOCOL_KEY else ""
        if again:
            cell.xds.try_again(LISTENER, listener)
        needed = cell.plan.alone
        if port.protocol != HTTPS_BY_NAME:
            refusal = refusal or await cell.settle(CLUSTER, [port_name(port)], ACKNOWLEDGED, needed=needed)
        refusal = refusal or await cell.settle(LISTENER, [listener], ACKNOWLEDGED, needed=needed)
        if not refusal and cell.pid:
            await cell.opened(listener, OPENING)
        return refusal or ""

    async def remove(self, port: PublicPort) -> None:
        """Have the port serve nobody any more; connections go on, with its cluster, to their ends."""
        name, cell = port_name(port), self._cells.first_of(port.org)
        if port.protocol in (PASSED_ON, HTTPS_BY_NAME):
            for one in self._cells.values():
                one.base.serve_by_name({name: []})
        elif port.protocol == PROTOCOL_KEY:
            self._postgres.drop(port.app)
            await self._postgres.apply()
        else:
            cell.xds.delete(LISTENER, name)
        if name in cell.xds.table[ROUTES]:
            cell.xds.delete(ROUTES, name)
        if name in cell.xds.table[CLUSTER]:
            self._leaving[name] = cell
        await cell.settle(LISTENER, [_listener_of(port)], ACKNOWLEDGED, needed=False)

    def drop_idle(self, active: Collection[str]) -> None:
        """Drop clusters of ports that are gone and whose app has nothing under way any more. On a period."""
        for name, cell in list(self._leaving.items()):
            if name.rpartition("/")[2] not in active:
                cell.xds.delete(CLUSTER, name)
                del self._leaving[name]


def _listener_of(port: PublicPort) -> str:
    return {PASSED_ON: HTTPS, HTTPS_BY_NAME: HTTPS, PROTOCOL_KEY: POSTGRES}.get(port.protocol) or port_name(port)
