"""What an app is in the cells: a cluster with its machines, and a virtual host with its names.

Order: a cluster is there before its virtual host. A virtual host says more than the route: which paths have replays
that are remembered, and how many requests roostd has on the machines already. State: the apps of which that is so, for
their virtual hosts have to follow what changes without a new route. Setting the same twice tells Envoy nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roost.edge.cells import Cells
from roost.edge.contract import Route
from roost.edge.http_doors import HttpDoors
from roost.edge.protos import CLUSTER, VIRTUAL_HOST
from roost.edge.route_table import RouteTable
from roost.edge.shared import Shared
from roost.edge.snapshot import Ports, app_cluster, app_virtual_host, cluster_name, virtual_host_name


class AppResources:
    """Clusters and virtual hosts of the routed apps. All calls are on one event loop."""

    def __init__(self, cells: Cells, routes: RouteTable, shared: Shared) -> None:
        cloud = shared.cloud
        self.ports = Ports(cloud.http_port, cloud.https_port, challenged=not shared.options.shared)
        self._cells, self._routes, self._shared = cells, routes, shared
        self._led: set[str] = set()  # apps with paths that lead to the replay server
        self._narrowed: set[str] = set()  # apps of which Envoy may let in fewer, while roostd has some

    async def put(self, route: Route, deadline: float) -> bool:
        """Tell the cells of an app and wait for them; False when it got another route meanwhile. Raises HostFailure."""
        self.set_cluster(route)
        await self._cells.settle(self._cells.holders(route), CLUSTER, [cluster_name(route.app)], deadline)
        if not self._routes.holds(route):
            return False
        self.set_virtual_host(route)
        await self._cells.settle(self._cells.of(route.org), VIRTUAL_HOST, [virtual_host_name(route.app)], deadline)
        if route.hard_limit:
            self._shared.slots.routed(route.app, route.endpoints, route.hard_limit)
        return True

    def set_cluster(self, route: Route) -> None:
        """Tell the cells that need it where an app's machines are."""
        for cell in self._cells.holders(route):
            door = HttpDoors.path(cell, route.app)
            cell.xds.set(CLUSTER, app_cluster(route, door))

    def set_virtual_host(self, route: Route) -> None:
        """Tell the app's cells of its names; each sends it on when it has the cluster."""
        for cell in self._cells.of(route.org):
            cell.xds.set(VIRTUAL_HOST, self._virtual_host(route))

    def remembered(self, app: str) -> tuple[str, ...]:
        """Return the paths of an app whose replays are remembered."""
        return self._shared.remembered.cache.paths(app, self._shared.clock())

    def renew(self, app: str) -> None:
        """Have the virtual host say again what is remembered of an app, and how much roostd has of it."""
        route = self._routes.get(app)
        if route is None:
            self._led.discard(app)
            self._narrowed.discard(app)
            return
        for cell in self._cells.of(route.org):
            if virtual_host_name(app) in cell.xds.table[VIRTUAL_HOST]:
                cell.xds.set(VIRTUAL_HOST, self._virtual_host(route))

    def let_names_be_checked(self) -> None:
        """Lead certificate authorities that check names of the cloud's domain past the apps from now on."""
        self.ports = replace(self.ports, challenged=True)
        for app in self._routes:
            self.renew(app)

    def renew_all(self) -> None:
        """Renew what may have changed with time. On a period."""
        for app in {*self._shared.remembered.cache.apps(), *self._led, *self._narrowed}:
            self.renew(app)

    def freed(self, app: str) -> None:
        """Let Envoy have all of the app's limit: roostd has no request of it any more."""
        if app in self._narrowed:
            self.renew(app)

    def _virtual_host(self, route: Route) -> Any:
        paths = self.remembered(route.app)
        (self._led.add if paths else self._led.discard)(route.app)
        taken = self._shared.slots.held(route.app) if route.hard_limit else 0
        (self._narrowed.add if taken else self._narrowed.discard)(route.app)
        return app_virtual_host(route, self.ports, paths, taken=taken)
