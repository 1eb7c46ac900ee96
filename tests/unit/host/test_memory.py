from __future__ import annotations

import pytest

from roost.host.memory import host_memory, parse_meminfo
from roost.model.errors import HostFailure


def test_it_reads_what_the_kernel_writes() -> None:
    assert parse_meminfo("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n") == (1 << 20, 2 << 20)


@pytest.mark.parametrize(
    "text", ["", "MemTotal: 5 kB", "MemTotal: x kB\nMemAvailable: 4 kB", "MemTotal:\nMemAvailable:"]
)
def test_nonsense_is_said_as_such(text: str) -> None:
    with pytest.raises(HostFailure):
        parse_meminfo(text)


def test_this_host_has_some() -> None:
    available, total = host_memory()
    assert 0 < available <= total
