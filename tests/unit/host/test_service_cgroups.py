"""What is written to a control group of Roost's own."""

from __future__ import annotations

from roost.host.service_cgroups import ServiceLimits


def test_a_weight_means_the_same_in_both_versions():
    limits = ServiceLimits(weight=200, memory=64 << 20, pids=16)
    assert limits.files(unified=True) == {
        "memory": ("memory.max", 64 << 20),
        "pids": ("pids.max", 16),
        "cpu": ("cpu.weight", 200),
    }
    assert limits.files(unified=False) == {
        "memory": ("memory.limit_in_bytes", 64 << 20),
        "pids": ("pids.max", 16),
        "cpu": ("cpu.shares", 2048),  # the kernel's own: 1024 there is 100 here
    }
