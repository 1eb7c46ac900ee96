"""Which cells an edge consists of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roost.plan.cells import own_cell

FIRST_OWN = 16  # index of the first cell that an org has for itself


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What makes a cell: its name, which user it runs as, and whether it is the only one."""

    name: str
    index: int
    alone: bool
    org: str = ""  # whose own cell it is; "": shared


def plans_of(common: Sequence[str], own: Sequence[str]) -> list[CellPlan]:
    """Return the plans of the cells that all orgs share, and of those that the orgs in `own` have for themselves."""
    alone = len(common) == 1 and not own
    shared = [CellPlan(name, index, alone) for index, name in enumerate(common)]
    return [*shared, *(CellPlan(own_cell(org), FIRST_OWN + index, False, org) for index, org in enumerate(own))]
