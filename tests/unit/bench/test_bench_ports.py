"""Ports for benchmarks: none that somebody else may come to have between their choice and their use."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.ports import FIRST, LAST

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    path = Path(__file__).parents[3] / "bench" / "harness.py"
    spec = importlib.util.spec_from_file_location("bench_harness", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    yield module


def test_they_are_the_kernels_and_the_tests_never(harness: ModuleType) -> None:
    first, last = map(int, RANGE.read_text().split())
    found = [harness.free_port() for _ in range(200)]
    assert len(set(found)) == len(found), "each once"
    assert not [port for port in found if first <= port <= last or FIRST <= port <= LAST]


def test_none_that_somebody_listens_on(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    port = harness.free_port()
    harness._given.clear()
    monkeypatch.setattr(harness, "PORTS", range(port, port + 1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(RuntimeError, match="is free"):
            harness.free_port()
    assert harness.free_port() == port
