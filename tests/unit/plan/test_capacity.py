"""What counts as a full pool."""

from __future__ import annotations

import pytest

from roost.plan.capacity import pool_has_room

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "room"),
    [
        (0, GIB, False),
        (40 << 20, GIB, False),
        (60 << 20, GIB, True),
        (GIB - 1, 1000 * GIB, False),
        (GIB, 1000 * GIB, True),
    ],
    ids=["full", "in the reserve", "above it", "big: below 1 GiB", "big: 1 GiB"],
)
def test_a_reserve_is_kept(free: int, total: int, room: bool) -> None:
    assert pool_has_room(total - free, total) is room
