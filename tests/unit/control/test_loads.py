"""Requests by machine: Envoy's gauges, and connections that they don't tell of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from roost.control.loads import with_older
from roost.edge.contract import Endpoint, Load, Route
from roost.edge.gauges import parse_gauges
from roost.edge.loads import Loads, load_of
from roost.host.sockets import established

ONE, TWO = Endpoint("one", "10.1.0.2", 8080), Endpoint("two", "10.1.0.3", 8080)
STATS = """cluster.app/shop.endpoint.10.1.0.2_8080.rq_active: 3
cluster.app/shop.endpoint.10.1.0.2_8080.cx_active: 4
cluster.app/shop.endpoint.10.1.0.3_8080.rq_active: 0
cluster.app/shop.upstream_rq_pending_active: 2
cluster.app/other.endpoint.10.1.0.2_8080.rq_active: 9
cluster.app/other.upstream_rq_active: 9
cluster.app/other.upstream_cx_active: 11
cluster.port/tcp/5432/db.upstream_cx_active: 3
cluster.port/http/81/shop.upstream_rq_active: 1
cluster.port/http/81/shop.upstream_cx_active: 1
udp.port/udp/53/dns.downstream_sess_active: 2
dynamicmodulescustom.waiting.of.app/shop: 5
dynamicmodulescustom.waiting.of.port/http/81/shop: 4
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
    assert (load.machines, load.connections, load.waiting) == ({"one": 6, "two": 0}, {"one": 8, "two": 0}, 14)
    assert load.requests == 20
    other = Loads({"other": Route("other", ("other.localhost",), (ONE,))}, [gauges])
    assert (other["other"].machines, other["other"].connections, list(other)) == ({"one": 9}, {"one": 11}, ["other"])
    assert other.get("shop") is None


def test_all_that_keeps_an_app_awake_is_counted() -> None:
    assert parse_gauges(STATS).active == {"shop": 2 + 1 + 5 + 4, "other": 9, "db": 3, "dns": 2}


def test_connections_that_envoy_does_not_tell_of_are_requests() -> None:
    load = Load({"one": 3, "two": 0}, {"one": 4, "two": 0}, (ONE, TWO))
    there = Counter({(ONE.address, 8080): 6, (TWO.address, 8080): 1, ("10.9.9.9", 80): 5})
    assert with_older(load, there).machines == {"one": 5, "two": 1}
    assert with_older(load, Counter()).machines == {"one": 3, "two": 0}


def test_the_kernel_counts_what_is_established(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(TCP)
    assert established(table=tmp_path / "tcp") == {("10.1.0.2", 8080): 1}
