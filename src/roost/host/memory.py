"""The host's memory, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

from roost.model.errors import HostFailure

MEMINFO = Path("/proc/meminfo")


def parse_meminfo(text: str) -> tuple[int, int]:
    """Return (available, total) bytes from /proc/meminfo (proc(5)); raises HostFailure when it can't be read.

    Available is the kernel's estimate of what new work could get without swapping.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        available, total = (int(fields[name].split()[0]) << 10 for name in ("MemAvailable", "MemTotal"))
    except (KeyError, ValueError, IndexError):
        raise HostFailure("/proc/meminfo does not tell how much memory is available") from None
    return available, total


def swap_space() -> int:
    """Return how many bytes of swap space this host has, used or not."""
    rows = (line.split() for line in MEMINFO.read_text().splitlines())
    return next((int(row[1]) << 10 for row in rows if row and row[0] == "SwapTotal:"), 0)


def host_memory() -> tuple[int, int]:
    """Return (available, total) bytes of this host."""
    return parse_meminfo(MEMINFO.read_text())
