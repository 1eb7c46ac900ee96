"""What is looked after on a period, because time or Envoy changed it and nobody said so.

Owns no state: it reads Envoy's gauges and hands them to the books, drops what has ended, and has the fronts' maps put
right. What fails once is done at the next look; with very many apps there are fewer looks, so that roostd has time for
other things.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from roost.edge.app_resources import AppResources
from roost.edge.cells import Cells
from roost.edge.draining import Draining
from roost.edge.front import Front
from roost.edge.port_table import PortTable
from roost.edge.route_table import RouteTable
from roost.plan.ticks import until_next

PERIOD = 1.0  # seconds between readings of Envoy's gauges
AHEAD = 0.05  # seconds before what is done each second: who looks at a reading finds a new one
PART = 4  # a reading may take a part of the time like this


class Upkeep:
    """Looks after an edge that runs."""

    def __init__(
        self,
        cells: Cells,
        routes: RouteTable,
        resources: AppResources,
        draining: Draining,
        ports: PortTable,
        front: Front | None,
    ) -> None:
        self._cells, self._routes, self._resources = cells, routes, resources
        self._draining, self._ports, self._front = draining, ports, front
        self.around_reading: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext

    async def run(self) -> None:
        """Look after all, again and again, until cancelled."""
        took = 0.0
        while True:
            await asyncio.sleep(max(until_next(PERIOD, time.monotonic() + AHEAD), PART * took))
            began = time.monotonic()
            await self.measure()
            took = time.monotonic() - began
            if self._front is not None:
                await self._front.repair()

    async def measure(self) -> None:
        """Read Envoy's gauges, put the books right, and drop clusters and paths whose time is over."""
        self._resources.renew_all()
        for cell in self._cells.values():
            cell.base.follow_certificates(self._routes.hosts)
        async with self.around_reading():
            readings = [await cell.measure() for cell in self._cells.values()]  # not all at once: requests go on
        known = [reading for reading in readings if reading is not None]
        if len(known) == len(readings):
            self._draining.drop_idle(known)
            await self._ports.look_after(app for reading in known for app in reading)
