"""Brings a new base configuration (listeners, default route, activator) to running cells, one after the other.

The first cell is the canary. A cell whose Envoy refuses it, or that answers far more errors of the edge's making for
some seconds after, gets back what it had, and so do the cells before it; the others never see it. What happened is in
the status and the log. State: the verdict only; a roostd that dies in the middle leaves some cells with the new
configuration, and the next one goes on with the rest. Apps' own routes do not come this way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from roost.edge.cell import Cell
from roost.edge.contract import Endpoint
from roost.plan.edge_rollout import ByApp, is_worse, suspects

WATCH = 3.0  # seconds that a cell is looked at beforehand, and again before the next one follows
LOOK = 0.5
REACH_TIMEOUT = 1.0
ASKED = 8  # machines that roostd tries to reach itself
_log = logging.getLogger("roost.edge")


class RollOut:
    """One roll-out. `told` says how it ended; "" while all is well. `places` returns where an app's machines listen."""

    def __init__(self, cells: Sequence[Cell], places: Callable[[str], Sequence[Endpoint]]) -> None:
        self._cells, self._places = cells, places
        self.told = ""
        self.state = ""  # "under way in cell N", "done", "rolled back"; "": there was nothing to do

    async def run(self) -> None:
        """Change the cells that are not up to date; after a failure none is changed."""
        changed: list[Cell] = []
        for cell in self._cells:
            if cell.base.is_up_to_date():
                continue
            self.state = f"under way in cell {cell.name}"
            try:
                why = await self._change(cell)
            finally:
                cell.tally.end()
            changed.append(cell)
            if why:
                self._give_up(changed, f"cell {cell.name} {why}")
                return
        if changed:
            self.state = "done"

    async def _change(self, cell: Cell) -> str:
        """Change a cell and look at it; returns why that went wrong, else ""."""
        cell.tally.begin(time.time())
        await asyncio.sleep(WATCH)
        before = cell.tally.begin(time.time())
        if refusal := await cell.change_base():
            return f"refused it: {refusal[:300]}"
        for _ in range(round(WATCH / LOOK)):
            await asyncio.sleep(LOOK)
            if await self._got_worse(before, cell.tally.counts()):
                return "answered far more errors with it"
        return ""

    async def _got_worse(self, before: ByApp, after: ByApp) -> bool:
        """Judge; apps that the cell does not reach any more are called from here, to know whose fault that is."""
        asked = sorted(suspects(before, after))[:ASKED]
        answers = await asyncio.gather(*(self._reaches(app) for app in asked))
        return is_worse(before, after, {app for app, reached in zip(asked, answers, strict=True) if reached})

    async def _reaches(self, app: str) -> bool:
        for place in self._places(app)[:ASKED]:
            try:
                async with asyncio.timeout(REACH_TIMEOUT):
                    _, writer = await asyncio.open_connection(place.address, place.port)
                    writer.close()
                    return True
            except (OSError, TimeoutError):
                continue
        return False

    def _give_up(self, cells: Sequence[Cell], why: str) -> None:
        for cell in cells:
            cell.base.restore()
        self.state, self.told = "rolled back", why
        _log.error("the edge's new base configuration was taken back: %s", why)
