"""Network policies in the kernel: real links, sets and connections."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from roost.host.network import Network
from roost.model.network_policy import NO_FILTER, Filter, Port

from .conftest import port_of

if TYPE_CHECKING:
    from .conftest import Place, World

VERSIONS = pytest.mark.parametrize("version", [4, 6])
REFUSED = ("No route to host", "Permission denied")
NOTHING: frozenset[Port] = frozenset({Port("udp", 9)})  # as good as nothing to a TCP client


def limit(world: World, place: Place, allowed: Filter, network: Network | None = None) -> None:
    (network or world.network).limit(place.name, place.ipv4, place.ipv6, allowed)


def rules(world: World) -> str:
    table = ["nft", "list", "table", "inet", world.cloud.nft_table]
    return subprocess.run(table, capture_output=True, text=True, check=True).stdout


@VERSIONS
def test_a_limited_machine_takes_what_is_allowed_only(cloud_world: World, version: int) -> None:
    a, b, c = (cloud_world.machine(name, "acme") for name in "abc")
    with b.listen(version) as web, b.listen(version) as hidden, c.listen(version) as free:
        limit(cloud_world, b, Filter(ingress=frozenset({Port("tcp", port_of(web))})))
        assert a.connect(b.address(version), port_of(web)) == "open"
        assert a.connect(b.address(version), port_of(hidden)) in REFUSED
        assert a.connect(c.address(version), port_of(free)) == "open"  # nobody selected it
        assert b.connect(c.address(version), port_of(free)) == "open"  # the other direction is left as it is
        with socket.create_connection((b.address(version), port_of(hidden)), timeout=3):
            pass  # what the host's edge passes on is no direct connection
        limit(cloud_world, b, NO_FILTER)
        assert a.connect(b.address(version), port_of(hidden)) == "open"


@VERSIONS
def test_a_limited_machine_calls_what_is_allowed_only(cloud_world: World, version: int) -> None:
    a, b = (cloud_world.machine(name, "acme") for name in "ab")
    with b.listen(version) as web, b.listen(version) as other, a.listen(version) as own:
        limit(cloud_world, a, Filter(egress=frozenset({Port("tcp", port_of(web))})))
        assert a.connect(b.address(version), port_of(web)) == "open"
        assert a.connect(b.address(version), port_of(other)) in REFUSED
        assert b.connect(a.address(version), port_of(own)) == "open"


def test_the_outside_is_limited_too(cloud_world: World, outside: Place) -> None:
    a = cloud_world.machine("a", "acme")
    with outside.listen() as web, outside.listen() as other:
        limit(cloud_world, a, Filter(egress=frozenset({Port("tcp", port_of(web))})))
        assert a.connect(str(outside.ipv4), port_of(web)) == "open"
        assert a.connect(str(outside.ipv4), port_of(other)) in REFUSED


def test_protocols_are_told_apart(cloud_world: World) -> None:
    a, b = (cloud_world.machine(name, "acme") for name in "ab")
    with b.listen() as tcp, b.listen(4, socket.SOCK_DGRAM, port_of(tcp)):
        limit(cloud_world, b, Filter(ingress=frozenset({Port("udp", port_of(tcp))})))
        assert a.connect(str(b.ipv4), port_of(tcp)) in REFUSED


def test_a_policy_does_not_open_another_network(cloud_world: World) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "bolt")
    with b.listen() as server:
        limit(cloud_world, b, Filter(ingress=frozenset({Port("tcp", port_of(server))})))
        assert a.connect(str(b.ipv4), port_of(server)) == "No route to host"


def test_limits_are_kept_by_who_comes_after(cloud_world: World) -> None:
    """A new roostd, and the repair of rules that somebody flushed, load the limits with the rules."""
    a, b = (cloud_world.machine(name, "acme") for name in "ab")
    with b.listen() as server:
        limit(cloud_world, b, Filter(ingress=NOTHING))
        after = Network(cloud_world.cloud)
        after.ensure()
        assert a.connect(str(b.ipv4), port_of(server)) in REFUSED
        subprocess.run(["nft", "delete", "table", "inet", cloud_world.cloud.nft_table], check=True)
        assert not after.intact()
        after.ensure()
        assert a.connect(str(b.ipv4), port_of(server)) in REFUSED
        limit(cloud_world, b, NO_FILTER, after)
        assert a.connect(str(b.ipv4), port_of(server)) == "open"


def test_sets_that_somebody_emptied_are_made_anew(cloud_world: World) -> None:
    a, b = (cloud_world.machine(name, "acme") for name in "ab")
    with b.listen() as one, b.listen() as two:
        limit(cloud_world, b, Filter(ingress=frozenset({Port("tcp", port_of(one))})))
        table = cloud_world.cloud.nft_table
        subprocess.run(["nft", "flush", "set", "inet", table, "ingress_allowed4"], check=True)
        limit(cloud_world, b, Filter(ingress=frozenset({Port("tcp", port_of(two))})))
        assert a.connect(str(b.ipv4), port_of(one)) in REFUSED
        assert a.connect(str(b.ipv4), port_of(two)) == "open"


def test_a_machine_that_nothing_selects_changes_no_rule(cloud_world: World) -> None:
    a, b = (cloud_world.machine(name, "acme") for name in "ab")
    limit(cloud_world, a, Filter(ingress=frozenset({Port("tcp", 80)})))
    before = rules(cloud_world)
    limit(cloud_world, b, NO_FILTER)
    cloud_world.network.release(b.name)
    cloud_world.network.unlimit(b.name)
    assert rules(cloud_world) == before
    assert cloud_world.network.limited() == {"a"}
    cloud_world.network.unlimit(a.name)
    assert str(a.ipv4) not in rules(cloud_world)
    assert str(a.ipv6) not in rules(cloud_world)
    assert not cloud_world.network.limited()
