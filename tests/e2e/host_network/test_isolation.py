"""Who reaches whom: real namespaces, links, rules and connections."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from roost.host.network_namespace import inside

if TYPE_CHECKING:
    from .conftest import Place, World

VERSIONS = pytest.mark.parametrize("version", [4, 6])


def port_of(s: socket.socket) -> int:
    return int(s.getsockname()[1])


@VERSIONS
def test_machines_of_one_network_reach_each_other(cloud_world: World, version: int) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "acme")
    with b.listen(version) as server:
        assert a.connect(b.address(version), port_of(server)) == "open"
        connection, peer = server.accept()
        connection.close()
        assert peer[0] == a.address(version)


@VERSIONS
def test_machines_of_different_networks_do_not(cloud_world: World, version: int) -> None:
    a, b = cloud_world.machine("a", "acme"), cloud_world.machine("b", "bolt")
    with b.listen(version) as server:
        assert a.connect(b.address(version), port_of(server)) == "No route to host"
        assert _host_connects(b.address(version), port_of(server))  # it does listen


@VERSIONS
def test_a_prepared_machine_reaches_nobody(cloud_world: World, version: int) -> None:
    a = cloud_world.machine("a", "acme")
    b, c = cloud_world.blank("b"), cloud_world.blank("c")
    for place in (b, c):
        cloud_world.network.prepare(place.netns, place.name)
        _add_address(place, place.address(version))
    with a.listen(version) as server:
        assert b.connect(a.address(version), port_of(server)) != "open"
    with c.listen(version) as server:
        assert b.connect(c.address(version), port_of(server)) != "open"


def test_machines_do_not_reach_the_host_by_any_of_its_addresses(cloud_world: World, outside: Place) -> None:
    a = cloud_world.machine("a", "acme")
    network = cloud_world.cloud.ipv4_network
    uplink = IPv4Address(int(outside.ipv4) - 1)
    with socket.socket() as server, socket.socket(socket.AF_INET6) as server6:
        server.bind(("0.0.0.0", 0))
        server.listen()
        server6.bind(("::", 0))
        server6.listen()
        for address in (next(network.hosts()), uplink):
            assert _host_connects(str(address), port_of(server))
            assert a.connect(str(address), port_of(server)) == "No route to host"
        gateway6 = str(cloud_world.cloud.ipv6_network.network_address + 1)
        assert _host_connects(gateway6, port_of(server6))
        assert a.connect(gateway6, port_of(server6)) != "open"
        assert a.connect("fe80::1%eth0", port_of(server6)) != "open"


def test_the_host_reaches_machines_by_both_families(cloud_world: World) -> None:
    a = cloud_world.machine("a", "acme")
    for version in (4, 6):
        with a.listen(version) as server:
            assert _host_connects(a.address(version), port_of(server))


def test_the_outside_is_reached_with_the_hosts_address(cloud_world: World, outside: Place) -> None:
    a = cloud_world.machine("a", "acme")
    with outside.listen() as server:
        assert a.connect(str(outside.ipv4), port_of(server)) == "open"
        connection, peer = server.accept()
        connection.close()
        assert peer[0] == str(IPv4Address(int(outside.ipv4) - 1))


def test_the_outside_does_not_reach_machines(cloud_world: World, outside: Place) -> None:
    a = cloud_world.machine("a", "acme")
    gateway = str(IPv4Address(int(outside.ipv4) - 1))
    _add_route(outside, str(cloud_world.cloud.ipv4_network), gateway)
    with a.listen() as server:
        assert outside.connect(str(a.ipv4), port_of(server)) != "open"


def test_metadata_services_are_not_reached_although_they_are_routed(cloud_world: World, outside: Place) -> None:
    a = cloud_world.machine("a", "acme")
    third, fourth = str(outside.ipv4).split(".")[2:]
    metadata = f"169.254.{third}.{fourth}"
    with outside.listen() as server:
        assert _host_connects(metadata, port_of(server))
        assert a.connect(metadata, port_of(server)) == "No route to host"


@VERSIONS
def test_another_clouds_machines_are_not_reached(cloud_world: World, other_world: World, version: int) -> None:
    a, b = cloud_world.machine("a", "acme"), other_world.machine("a", "acme")
    with b.listen(version) as server:
        assert a.connect(b.address(version), port_of(server)) != "open"
        assert _host_connects(b.address(version), port_of(server))


@VERSIONS
def test_a_machine_speaks_with_its_own_address_only(cloud_world: World, version: int) -> None:
    honest, liar = cloud_world.machine("honest", "acme"), cloud_world.machine("liar", "acme")
    victim = cloud_world.machine("victim", "bolt")
    _add_address(liar, victim.address(version))
    with honest.listen(version, socket.SOCK_DGRAM) as receiver:
        target = (honest.address(version), port_of(receiver))
        for source, text in ((victim.address(version), b"spoofed"), (liar.address(version), b"own")):
            with inside(liar.netns, lambda source=source: _bound(source)) as sender:
                sender.sendto(text, target)
        assert receiver.recv(100) == b"own"
        receiver.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            pytest.fail(f"a packet with a foreign source arrived: {receiver.recv(100)!r}")


def test_an_address_that_nobody_has_is_refused_at_once(cloud_world: World) -> None:
    a = cloud_world.machine("a", "acme")
    nobody = cloud_world.cloud.ipv4_network.network_address + 200
    assert a.connect(str(nobody), 80) == "No route to host"
    assert a.connect(str(cloud_world.cloud.ipv6_network.network_address + 200), 80) == "Network is unreachable"


def test_an_app_may_listen_on_port_80_without_being_root(cloud_world: World) -> None:
    a = cloud_world.machine("a", "acme")
    start = inside(a.netns, lambda: Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert start.strip() == "0"


def _host_connects(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=3):
        return True


def _bound(address: str) -> socket.socket:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 0))
    return s


def _add_address(place: Place, address: str) -> None:
    def work() -> None:
        with IPRoute() as ip:
            length, flags = (128, 2) if ":" in address else (32, 0)
            ip.addr("add", index=socket.if_nametoindex("eth0"), address=address, prefixlen=length, flags=flags)

    inside(place.netns, work)


def _add_route(place: Place, destination: str, gateway: str) -> None:
    def work() -> None:
        with IPRoute() as ip:
            ip.route("add", dst=destination, gateway=gateway)

    inside(place.netns, work)
