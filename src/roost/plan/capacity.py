"""Is there room for more: decided from what the pool holds."""

from __future__ import annotations

_RESERVE = 0.05  # of the pool
_RESERVE_MOST = 1 << 30  # bytes


def pool_has_room(used: int, total: int) -> bool:
    """Tell whether a pool with `used` of `total` bytes should take another machine or build.

    A reserve of 5 %, at most 1 GiB, is for the machines that are there already: disks grow when they are
    written to, and a stopped machine needs some blocks to start.
    """
    return total - used >= min(int(total * _RESERVE), _RESERVE_MOST)
