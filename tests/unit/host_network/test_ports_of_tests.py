"""Tests that run side by side never have the same port."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests import ports

TAKE = "from tests.ports import free_port; print(*(free_port() for _ in range(400)), flush=True); input()"


def test_processes_side_by_side_have_different_ports() -> None:
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        taken = [int(word) for process in started for word in process.stdout.readline().split()]  # type: ignore[union-attr]
        mine = [ports.free_port() for _ in range(50)]
    finally:
        for process in started:
            process.communicate("\n", timeout=10)
    assert len(set(taken + mine)) == 3 * 400 + 50


def test_a_port_is_none_that_a_client_may_get_and_none_that_is_taken(monkeypatch) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = ports.free_port()
    assert port < lowest or lowest <= 1024  # a server whose operator left no such range
    monkeypatch.setattr(ports, "FIRST", port + 1)
    with socket.socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        listener.bind(("127.0.0.1", first := ports.free_port()))
        datagrams.bind(("127.0.0.1", second := ports.free_port()))
        for taken in (first, second):
            assert not ports._is_free(taken)
