"""Requests by machine: Envoy's gauges, and connections that they don't tell of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from roost.control.loads import with_older
from roost.edge.contract import Endpoint, Load, Route
from roost.edge.loads import load_of, parse_gauges
from roost.host.sockets import established

ONE, TWO = Endpoint("one", "10.1.0.2", 8080), Endpoint("two", "10.1.0.3", 8080)
STATS = """cluster.app/shop.endpoint.10.1.0.2_8080.rq_active: 3
cluster.app/shop.endpoint.10.1.0.2_8080.cx_active: 4
cluster.app/shop.endpoint.10.1.0.3_8080.rq_active: 0
cluster.app/shop.upstream_rq_pending_active: 2
cluster.app/other.endpoint.10.1.0.2_8080.rq_active: 9
cluster.activator.upstream_rq_pending_active: 7
no number: here
"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100010A:D431 0200010A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100010A:D432 0200010A:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
"""


def test_what_envoy_tells_is_added_up_over_cells() -> None:
    gauges = parse_gauges(STATS)
    load = load_of(Route("shop", ("shop.localhost",), (ONE, TWO)), [gauges, gauges])
    assert (load.machines, load.connections, load.waiting) == ({"one": 6, "two": 0}, {"one": 8, "two": 0}, 4)
    assert load.requests == 10


def test_connections_that_envoy_does_not_tell_of_are_requests() -> None:
    load = Load({"one": 3, "two": 0}, {"one": 4, "two": 0}, (ONE, TWO))
    there = Counter({(ONE.address, 8080): 6, (TWO.address, 8080): 1, ("10.9.9.9", 80): 5})
    assert with_older(load, there).machines == {"one": 5, "two": 1}
    assert with_older(load, Counter()).machines == {"one": 3, "two": 0}


def test_the_kernel_counts_what_is_established(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(TCP)
    assert established(table=tmp_path / "tcp") == {("10.1.0.2", 8080): 1}
