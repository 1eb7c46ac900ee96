"""Apps that are taken out: new requests go elsewhere at once, and what is under way goes on to its end.

State: the apps that leave. Invariant: a cluster goes after its virtual host, when no request of the app is under way in
any cell, and never where the app's route (it may have come back) needs it. Losing the state loses nothing but a
cluster that stays until the next restart of roostd.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from roost.edge.cell import Cell
from roost.edge.cells import Cells
from roost.edge.protos import CLUSTER, VIRTUAL_HOST
from roost.edge.route_table import RouteTable
from roost.edge.snapshot import cluster_name, virtual_host_name

LOOK = 0.03  # seconds between two looks at an app's requests; its workers have new routes by then


class Draining:
    """The apps that leave. All calls are on one event loop.

    `gone` is told an app that has neither route nor requests.
    """

    def __init__(self, cells: Cells, routes: RouteTable, gone: Callable[[str], None]) -> None:
        self._cells, self._routes, self._gone = cells, routes, gone
        self._leaving: set[str] = set()

    def __len__(self) -> int:
        """Return how many apps leave."""
        return len(self._leaving)

    def take_out(self, app: str, cells: Sequence[Cell]) -> None:
        """Delete the app's virtual host in these cells, and its cluster once its requests have ended."""
        if any(cluster_name(app) in cell.xds.table[CLUSTER] for cell in cells):
            self._leaving.add(app)
        for cell in cells:
            cell.xds.delete(VIRTUAL_HOST, virtual_host_name(app))

    def stays(self, app: str) -> None:
        """Have an app leave no more: it has a route again."""
        self._leaving.discard(app)

    async def is_quiet(self, app: str) -> bool:
        """Ask the cells whether no request of an app is under way; False also when one does not tell."""
        if any(cell.book.spliced(app) for cell in self._cells.values()):
            return False
        readings = await asyncio.gather(*(cell.active(app) for cell in self._cells.values()))
        return all(reading is not None and not reading.get(app) for reading in readings)

    async def drained(self, app: str, timeout: float) -> bool:
        """Wait until no request of the app is under way; False at the deadline.

        Trusts Envoy's gauges, not the access log: two readings without a request, far enough apart that
        every worker has the routes that were acknowledged. A removed app's cluster goes then.
        """
        deadline = time.monotonic() + timeout
        quiet = 0
        while True:
            quiet = quiet + 1 if await self.is_quiet(app) else 0
            if quiet == 2:
                if app in self._leaving:
                    self.drop_cluster(app)
                return True
            if time.monotonic() + LOOK > deadline:
                return False
            await asyncio.sleep(LOOK)

    def drop_idle(self, readings: Iterable[Mapping[str, int]]) -> None:
        """Drop the clusters of apps of which no cell has a request; `readings` are those of all cells. On a period."""
        busy = {app for reading in readings for app in reading}
        for app in self._leaving - busy:
            self.drop_cluster(app)

    def drop_cluster(self, app: str) -> None:
        """Delete the app's cluster wherever its virtual host is gone."""
        self._leaving.discard(app)
        route = self._routes.get(app)
        if route is None:
            self._gone(app)
        needed = self._cells.holders(route) if route is not None else []
        for cell in self._cells.values():
            if cell not in needed and virtual_host_name(app) not in cell.xds.table[VIRTUAL_HOST]:
                cell.xds.delete(CLUSTER, cluster_name(app))
