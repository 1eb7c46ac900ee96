"""The cells of an edge, by name, and which of them serve an org.

State: the cells, which are the same from the edge's start to its end. Invariant: which cells serve an org follows from
the options alone (`plan.cells`), so roostd and its next instance lead an app to the same ones. A cell that is down
holds up nothing, if there are others: it gets what it missed when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from roost.edge.cell import Cell
from roost.edge.cell_plan import plans_of
from roost.edge.contract import Route
from roost.edge.protos import VIRTUAL_HOST
from roost.edge.shared import Shared
from roost.edge.snapshot import virtual_host_name
from roost.model.errors import HostFailure
from roost.plan.cells import common_cells, shard, shards

_log = logging.getLogger("roost.edge")


class Cells(Mapping[str, Cell]):
    """All calls are on one event loop."""

    def __init__(self, shared: Shared) -> None:
        self._common, self._own = common_cells(shared.options.cells), shared.options.own
        plans = plans_of(self._common, self._own, fronted=bool(shared.options.balancers))
        self._cells = {plan.name: Cell(plan, shared) for plan in plans}

    def __getitem__(self, name: str) -> Cell:
        """Return a cell by name; raises KeyError."""
        return self._cells[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._cells)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._cells)

    def shard(self, org: str) -> tuple[str, ...]:
        """Return the names of the cells that serve an org, first choice first."""
        return shard(org, self._common, self._own)

    def shards(self) -> tuple[tuple[str, ...], ...]:
        """Return all that `shard` can give."""
        return shards(self._common, self._own)

    def of(self, org: str) -> list[Cell]:
        """Return the cells that serve an org, first choice first."""
        return [self._cells[name] for name in self.shard(org)]

    def first_of(self, org: str) -> Cell:
        """Return the cell that serves an org's own ports."""
        return self._cells[self.shard(org)[0]]

    def holders(self, route: Route) -> list[Cell]:
        """Return the cells that have the app's cluster: its org's, and the one for private addresses if it has any."""
        own = self.shard(route.org)
        return [cell for name, cell in self._cells.items() if name in own or (cell.place.private and route.private)]

    async def settle(self, cells: Sequence[Cell], kind: str, names: list[str], deadline: float) -> None:
        """Wait for these cells' acknowledgement; one that is down is waited for only when it is the only one.

        Raises HostFailure with Envoy's words when one refuses; returns at the deadline whatever they say.
        """
        left = max(0.0, deadline - time.monotonic())
        answers = await asyncio.gather(*(cell.settle(kind, names, left, needed=cell.plan.alone) for cell in cells))
        if refusal := next((answer for answer in answers if answer), ""):
            raise HostFailure(f"Envoy refused a route: {refusal}", hint="`roost status` shows the edge")

    async def complete(self, apps: Iterable[str], deadline: float) -> None:
        """Have all cells know that these are all apps there are, once they have acknowledged them: others go.

        One whose route is refused is left as it was, and holds up nobody: not roostd's start either.
        """
        wanted = [virtual_host_name(app) for app in apps]
        for cell in self._cells.values():
            names = [name for name in wanted if name in cell.xds.table[VIRTUAL_HOST]]
            await self._settle_each(cell, names, deadline)
            cell.xds.mark_complete()
        for cell in self._cells.values():
            await self._settle_each(cell, cell.xds.beyond(VIRTUAL_HOST), deadline)

    async def _settle_each(self, cell: Cell, names: list[str], deadline: float) -> None:
        try:
            await self.settle([cell], VIRTUAL_HOST, names, deadline)
        except HostFailure as refusal:
            _log.error("an app is not served as it should be: %s", refusal.message)
            for name in names:
                with contextlib.suppress(HostFailure):
                    await self.settle([cell], VIRTUAL_HOST, [name], deadline)
