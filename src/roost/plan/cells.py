"""Which cells of the edge serve an org: shuffle sharding by rendezvous hashing. Pure.

Each org has a first and a second cell out of all. Two orgs rarely share both, so what one org does to its
cells leaves most others at least one; and a cell that is added or taken away moves only the orgs that gain
or lose it. An org with a cell of its own has it first; its second is one of the common ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

MAX_CELLS = 16  # common ones
MAX_OWN_CELLS = 16


def common_cells(count: int) -> tuple[str, ...]:
    """Return the names of the cells that orgs share."""
    return tuple(str(number) for number in range(count))


def own_cell(org: str) -> str:
    """Return the name of an org's own cell: short, because it is part of a socket's path."""
    return f"o{hashlib.blake2b(org.encode(), digest_size=4).hexdigest()}"


def http3_port(https: int, place: int) -> int:
    """Return the UDP port for HTTP/3 of the cell with this place among all; that of the first is the number of https's.

    They are next to each other: from 443 on, 22 cells have none that browsers block (WHATWG Fetch, "bad port": 465).
    Browsers that came to a port below 1024 go to no port above it.
    """
    return https + place


def shard(org: str, common: Sequence[str], own: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the org's cells, first choice first: two, or one where there is only one.

    `common` are the names of the shared cells (at least one), `own` the orgs that have a cell of their own.
    """
    ranked = sorted(common, key=lambda cell: (_weight(org, cell), cell), reverse=True)
    if org in own:
        return (own_cell(org), ranked[0])
    return tuple(ranked[:2])


def shards(common: Sequence[str], own: Sequence[str] = ()) -> tuple[tuple[str, ...], ...]:
    """Return every pair that `shard` can give."""
    if len(common) == 1:
        pairs: list[tuple[str, ...]] = [(common[0],)]
    else:
        pairs = [(first, second) for first in common for second in common if first != second]
    return (*pairs, *((own_cell(org), cell) for org in own for cell in common))


def _weight(org: str, cell: str) -> bytes:
    return hashlib.blake2b(f"{cell}\0{org}".encode(), digest_size=8).digest()
