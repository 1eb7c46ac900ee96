"""When a volume grows by itself."""

from __future__ import annotations

import pytest

from roost.model.file_config import Mount
from roost.model.volume import MAX_GB, Usage
from roost.plan.growth import grown_size


def usage(percent: float, gb: int = 10) -> Usage:
    blocks = (gb << 30) // 4096
    free = int(blocks * (1 - percent / 100))
    return Usage(4096, blocks, free, free)


@pytest.mark.parametrize(
    ("percent", "limit", "size", "seen", "wanted"),
    [
        (79, 0, 10, 10, 10),
        (81, 0, 10, 10, 13),
        (81, 12, 10, 10, 12),
        (81, 10, 10, 10, 10),
        (81, 5, 10, 10, 10),  # a limit below what it has makes nothing smaller
        (100, 0, MAX_GB, MAX_GB, MAX_GB),
        (100, 0, 13, 10, 13),  # the machine does not see the last growth yet
    ],
)
def test_growth(percent: float, limit: int, size: int, seen: int, wanted: int) -> None:
    mount = Mount("/d", "vol_1", extend_threshold_percent=80, add_size_gb=3, size_gb_limit=limit)
    assert grown_size(mount, size, usage(percent, seen)) == wanted
    assert grown_size(Mount("/d", "vol_1"), size, usage(percent, seen)) == size
