"""The routes of private addresses: one configuration of them all, in the one cell that private networks reach.

Owns no state: it is made anew from the route table. An app is in it once its cluster is in that cell, and goes from it
with its route; who calls its address then gets to the activator.
"""

from __future__ import annotations

from roost.edge.app_resources import AppResources
from roost.edge.cells import Cells
from roost.edge.contract import Route
from roost.edge.flycast import ROUTES_NAME, private_virtual_host
from roost.edge.listener import private_route_configuration
from roost.edge.protos import CLUSTER, ROUTES
from roost.edge.route_table import RouteTable
from roost.edge.snapshot import cluster_name, virtual_host


class PrivateRoutes:
    """All calls are on one event loop."""

    def __init__(self, cells: Cells, routes: RouteTable, resources: AppResources) -> None:
        self._cell = next((cell for cell in cells.values() if cell.place.private), None)
        self._routes, self._resources = routes, resources

    async def follow(self, route: Route | None, old: Route | None, timeout: float) -> None:
        """Bring them up to date after a change of one route; returns when they are acknowledged, or after `timeout`."""
        if self._cell is not None and ((route and route.private) or (old and old.private)):
            self.follow_all()
            await self._cell.settle(ROUTES, [ROUTES_NAME], max(0.0, timeout), needed=False)

    def follow_all(self) -> None:
        """Bring them up to date, without waiting for Envoy."""
        if (cell := self._cell) is not None:
            clusters = cell.xds.table[CLUSTER]
            routes = [route for route in self._routes.values() if route.private]
            hosts = [self._host(one) for one in routes if cluster_name(one.app) in clusters]
            cell.xds.set(ROUTES, private_route_configuration(hosts))

    def _host(self, route: Route) -> object:
        paths = self._resources.remembered(route.app)
        public = virtual_host(route, self._resources.ports, paths)
        return private_virtual_host(public, route.private)
