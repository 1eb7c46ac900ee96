"""Brings a new base configuration (listeners, default route, activator) to running cells, one after the other.

The first cell is the canary. A cell whose Envoy refuses it, or that answers far more errors for some seconds
after, gets back what it had, and so do the cells before it; the others never see it. What happened is in the
status and the log. State: the verdict only; a roostd that dies in the middle leaves some cells with the new
configuration, and the next one goes on with the rest. Apps' own routes do not come this way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from roost.edge.cell import Cell
from roost.plan.edge_rollout import Answers, is_worse

WATCH = 3.0  # seconds that a cell is looked at beforehand, and again before the next one follows
LOOK = 0.5
_log = logging.getLogger("roost.edge")


class RollOut:
    """One roll-out. `told` says how it ended; "" while all is well."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self.told = ""
        self.state = ""  # "under way in cell N", "done", "rolled back"; "": there was nothing to do

    async def run(self) -> None:
        """Change the cells that are not up to date; after a failure none is changed."""
        changed: list[Cell] = []
        for cell in self._cells:
            if cell.is_up_to_date():
                continue
            self.state = f"under way in cell {cell.name}"
            earlier = await cell.answers()
            await asyncio.sleep(WATCH)
            before = await cell.answers()
            refusal = await cell.change_base()
            if refusal:
                self._give_up([*changed, cell], f"cell {cell.name} refused it: {refusal[:300]}")
                return
            changed.append(cell)
            if before is not None and await self._got_worse(cell, before, earlier):
                self._give_up(changed, f"cell {cell.name} answered far more errors with it")
                return
        if changed:
            self.state = "done"

    async def _got_worse(self, cell: Cell, before: Answers, earlier: Answers | None) -> bool:
        for _ in range(round(WATCH / LOOK)):
            await asyncio.sleep(LOOK)
            after = await cell.answers()
            if after is not None and is_worse(before, after, earlier):
                return True
        return False

    def _give_up(self, cells: Sequence[Cell], why: str) -> None:
        for cell in cells:
            cell.restore_base()
        self.state, self.told = "rolled back", why
        _log.error("the edge's new base configuration was taken back: %s", why)
