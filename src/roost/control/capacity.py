"""Refuses what the pool has no room for, before anything of it is begun."""

from __future__ import annotations

from roost.host.contract import Host
from roost.model.errors import FREE_SPACE, InsufficientCapacity
from roost.plan.capacity import pool_has_room


def require_room(host: Host, what: str) -> None:
    """Raise InsufficientCapacity when the pool can't take another machine or build; `what` was asked for."""
    used, total = host.disk_usage()
    if not pool_has_room(used, total):
        raise InsufficientCapacity(
            f"there is no room for {what}: the pool is full ({used / 1e9:.1f} of {total / 1e9:.1f} GB)", hint=FREE_SPACE
        )
