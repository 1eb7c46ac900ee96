"""Whether a volume grows by itself, and to what size. Pure."""

from __future__ import annotations

from roost.model.file_config import Mount
from roost.model.volume import MAX_GB, Usage

_GB = 1 << 30
_SEEN = 0.9  # of its size: a file system keeps some for itself


def grown_size(mount: Mount, size_gb: int, usage: Usage) -> int:
    """Return the size in GB that a volume of `size_gb` should have; the same when it need not or can't grow.

    One whose file system is still of an earlier size (its machine must be restarted to see the larger one) waits.
    """
    if not mount.extend_threshold_percent or usage.bytes_total < size_gb * _GB * _SEEN:
        return size_gb
    taken = usage.blocks - usage.blocks_avail
    if taken * 100 < mount.extend_threshold_percent * usage.blocks:
        return size_gb
    return max(size_gb, min(size_gb + mount.add_size_gb, mount.size_gb_limit or MAX_GB))
