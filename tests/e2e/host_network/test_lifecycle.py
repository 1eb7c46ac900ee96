"""Repeating, restarting, breaking half-way, and leaving nothing behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from roost.host import nftables
from roost.host.network import Network, link_name
from roost.host.network_namespace import inside
from roost.model.errors import HostFailure

if TYPE_CHECKING:
    from .conftest import Place, World


def connected(a: Place, b: Place) -> bool:
    with b.listen() as server:
        return a.connect(str(b.ipv4), server.getsockname()[1]) == "open"


def traces(world: World) -> list[str]:
    """Return what the host holds of a cloud."""
    with IPRoute() as ip:
        links = [link.get("ifname") for link in ip.get_links()]
        routes = [str(route.get("dst")) for route in (*ip.get_routes(family=2), *ip.get_routes(family=10))]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.split("\n")
    cloud = world.cloud
    found = [link for link in links if cloud.interface_prefix in link] + [t for t in tables if cloud.nft_table in t]
    found += [
        r for r in routes if r != "None" and ip_address(r) in (cloud.ipv4_network if "." in r else cloud.ipv6_network)
    ]
    return found


def test_everything_may_be_repeated(cloud_world: World) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "acme")
    index = socket.if_nametoindex(link_name(cloud_world.cloud, "a"))
    cloud_world.network.ensure()
    cloud_world.network.prepare(a.netns, "a")
    cloud_world.assign(a, "acme")
    assert socket.if_nametoindex(link_name(cloud_world.cloud, "a")) == index, "a whole pair is kept"
    assert connected(a, b)


def test_release_takes_the_link_and_its_routes_and_may_be_repeated(cloud_world: World) -> None:
    a = cloud_world.machine("a", "acme")
    assert str(a.ipv4) in traces(cloud_world)
    cloud_world.network.release("a")
    cloud_world.network.release("a")
    assert not [t for t in traces(cloud_world) if t in (str(a.ipv4), link_name(cloud_world.cloud, "a"))]
    with pytest.raises(HostFailure, match="is gone"):
        cloud_world.assign(a, "acme")


def test_destroy_leaves_nothing(cloud_world: World) -> None:
    cloud_world.machine("a", "acme")
    assert traces(cloud_world)
    cloud_world.network.destroy()
    assert traces(cloud_world) == []
    assert not list(cloud_world.cloud.run.glob("groups*"))
    cloud_world.network.destroy()


def test_a_half_made_pair_is_made_anew(cloud_world: World) -> None:
    a, b = cloud_world.blank("a"), cloud_world.machine("b", "acme")
    host_netns = os.open("/proc/self/ns/net", os.O_RDONLY)
    half = link_name(cloud_world.cloud, "a")
    inside(a.netns, lambda: cloud_world.network._make_pair(half, 1500, host_netns))  # killed right after
    os.close(host_netns)
    cloud_world.network.prepare(a.netns, "a")
    cloud_world.assign(a, "acme")
    assert connected(a, b)
    assert connected(b, a)


def test_a_name_moves_to_a_new_namespace(cloud_world: World) -> None:
    old, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "acme")
    fresh = cloud_world.blank("fresh")
    fresh.name, fresh.ipv4, fresh.ipv6 = "a", old.ipv4, old.ipv6
    cloud_world.network.prepare(fresh.netns, "a")
    cloud_world.assign(fresh, "acme")
    assert connected(b, fresh)
    assert old.connect(str(b.ipv4), 1) == "Network is unreachable"


def test_a_restarted_agent_knows_the_networks(cloud_world: World) -> None:
    a, c = cloud_world.machine("a", "acme"), cloud_world.machine("c", "bolt")
    cloud_world.network = Network(cloud_world.cloud)
    cloud_world.network.ensure()
    b = cloud_world.machine("b", "acme")
    assert connected(a, b)
    assert not connected(a, c)


def test_losing_the_numbers_never_joins_two_networks(cloud_world: World) -> None:
    a = cloud_world.machine("a", "acme")
    (cloud_world.cloud.run / "groups.json").write_text("{torn")
    b = cloud_world.machine("b", "bolt")
    assert not connected(a, b)
    assert not connected(b, a)


def test_networks_beyond_the_prepared_ones_work_and_survive_a_reload(cloud_world: World) -> None:
    late = nftables.PREPARED_GROUPS + 44
    (cloud_world.cloud.run / "groups.json").write_text(json.dumps({"late": late}))
    a, b = cloud_world.machine("a", "late"), cloud_world.machine("b", "late")
    c = cloud_world.machine("c", "acme")
    assert connected(a, b)
    cloud_world.network.ensure()
    assert connected(a, b)
    assert not connected(a, c)


def test_flushed_rules_are_noticed_and_repaired(cloud_world: World) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "bolt")
    assert cloud_world.network.intact()
    subprocess.run(["nft", "delete", "table", "inet", cloud_world.cloud.nft_table], check=True)
    assert not cloud_world.network.intact()
    cloud_world.network.ensure()
    assert cloud_world.network.intact()
    assert not connected(a, b)


def test_connections_survive_a_reload_of_the_rules(cloud_world: World) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "acme")
    with b.listen() as server:
        client = inside(a.netns, lambda: socket.create_connection((str(b.ipv4), server.getsockname()[1]), 3))
        with client, server.accept()[0] as accepted:
            cloud_world.network.ensure()
            client.sendall(b"still here")
            accepted.settimeout(3)
            assert accepted.recv(100) == b"still here"


def test_a_network_that_the_host_routes_elsewhere_is_refused(cloud_world: World, outside: Place) -> None:
    half = next(cloud_world.cloud.ipv4_network.subnets())
    with IPRoute() as ip:
        ip.route("add", dst=str(half), gateway=str(outside.ipv4))
    with pytest.raises(HostFailure, match="already routes"):
        cloud_world.network.ensure()


def test_no_namespace_is_a_clear_error(cloud_world: World) -> None:
    with pytest.raises(HostFailure, match="network namespace"):
        cloud_world.network.prepare(cloud_world.cloud.run / "missing", "a")
    plain = cloud_world.cloud.run / "plain"
    plain.touch()
    with pytest.raises(HostFailure, match="can't enter"):
        cloud_world.network.prepare(plain, "a")


def test_the_outcome_of_work_in_a_namespace_comes_back(cloud_world: World) -> None:
    place = cloud_world.blank("a")
    here = Path("/proc/thread-self/ns/net").readlink()
    assert inside(place.netns, lambda: Path("/proc/thread-self/ns/net").readlink()) != here
    assert Path("/proc/thread-self/ns/net").readlink() == here
    with pytest.raises(ZeroDivisionError):
        inside(place.netns, lambda: 1 // 0)
