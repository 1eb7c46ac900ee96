"""What the front is told of the apps: which cells serve a host. An edge of one cell has no front, and nothing to tell.

Hosts of awake apps lead to their org's cells, and so do names whose TLS is passed on unopened, asleep too: no other
cell knows them. State: those names, as they were told last. It can be lost: `all` tells everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.edge.cells import Cells
from roost.edge.contract import PublicPort, Route
from roost.edge.front import Front
from roost.edge.route_table import RouteTable

PASSED_ON = "sni"  # protocol of a public port whose TLS is passed on


class Leading:
    """Tells the front. All calls are on one event loop, after the cells were told."""

    def __init__(self, front: Front | None, cells: Cells, routes: RouteTable) -> None:
        self._front, self._cells, self._routes = front, cells, routes
        self._passed: dict[str, PublicPort] = {}  # by host

    async def follow(self, route: Route, old: Route | None) -> None:
        """Lead an app's hosts to its cells, and those that it had before nowhere."""
        if self._front is not None:
            await self._front.lead(route.hosts, self._cells.shard(route.org))
        await self.leave(old)

    async def leave(self, old: Route | None) -> None:
        """Lead hosts that only this former route had to no cell more than another."""
        if self._front is not None:
            await self._front.forget([host for host in self._routes.left_by(old) if host not in self._passed])

    async def follow_ports(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Lead the names whose TLS is passed on to an app, and those that were before nowhere."""
        before = [host for host, port in self._passed.items() if port.app == app]
        for host in before:
            del self._passed[host]
        self._pass(ports)
        if self._front is None:
            return
        for port in ports:
            if port.protocol == PASSED_ON:
                await self._front.lead(port.hosts, self._cells.shard(port.org))
        gone = [host for host in before if host not in self._passed and host not in self._routes.hosts]
        await self._front.forget(gone)

    async def all(self, ports: Sequence[PublicPort]) -> None:
        """Tell of all routes and of these ports, and of nothing else."""
        self._passed.clear()
        self._pass(ports)
        if self._front is None:
            return
        shards = {host: self._cells.shard(port.org) for host, port in self._passed.items()}
        shards |= {host: self._cells.shard(route.org) for route in self._routes.values() for host in route.hosts}
        await self._front.lead_all(shards)

    def _pass(self, ports: Sequence[PublicPort]) -> None:
        self._passed |= {host: port for port in ports if port.protocol == PASSED_ON for host in port.hosts}
