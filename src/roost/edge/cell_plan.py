"""Which cells an edge consists of, and how much each may use. Pure, but for a look at how many processors there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from roost.edge.bootstrap import Caps
from roost.plan.cells import own_cell

FIRST_OWN = 16  # index of the first cell that an org has for itself


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What makes a cell: its name, which user it runs as, and whether it is the only one."""

    name: str
    index: int
    place: int  # among all cells of the edge
    only: bool  # there is no other
    fronted: bool  # a front stands before it
    org: str = ""  # whose own cell it is; "": shared

    @property
    def is_first(self) -> bool:
        """Whether it is the cell that serves what one of them has to serve: private networks."""
        return self.index == 0

    @property
    def caps(self) -> Caps:
        """What its Envoy may use: one of several has less, so that it can't take all."""
        return Caps() if self.only else Caps(connections=10_000, heap_bytes=512 << 20, workers=_workers())

    @property
    def alone(self) -> bool:
        """Whether clients meet it, and nothing else, on the public ports."""
        return not self.fronted


def plans_of(common: Sequence[str], own: Sequence[str], *, fronted: bool = False) -> list[CellPlan]:
    """Return the plans of the cells that all orgs share, and of those that the orgs in `own` have for themselves.

    `fronted`: a front stands before them even if there is only one.
    """
    only = len(common) == 1 and not own
    fronted = fronted or not only
    shared = [CellPlan(name, index, index, only, fronted) for index, name in enumerate(common)]
    owned = [
        CellPlan(own_cell(org), FIRST_OWN + index, len(common) + index, only, fronted, org)
        for index, org in enumerate(own)
    ]
    return shared + owned


def _workers() -> int:
    """Return how many threads one of several cells has: with few processors one, so that it can't take them all."""
    return max(1, min(2, (os.cpu_count() or 1) // 2))
