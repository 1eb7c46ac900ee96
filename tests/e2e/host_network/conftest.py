"""Clouds of their own, machines made of bare network namespaces, and an outside world that is one more namespace."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from tests.e2e.private_networks import free_network

from roost.host.network import Network
from roost.host.network_namespace import inside
from roost.model.cloud import Cloud

_libc = ctypes.CDLL(None, use_errno=True)
WAIT = 3.0  # seconds; what is refused is refused at once


def pin_namespace(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    failed: list[int] = []

    def make() -> None:
        if _libc.unshare(0x40000000) or _libc.mount(b"/proc/thread-self/ns/net", str(path).encode(), None, 4096, None):
            failed.append(ctypes.get_errno())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert not failed, os.strerror(failed[0])


def unpin_namespace(path: Path) -> None:
    _libc.umount2(str(path).encode(), 2)
    path.unlink(missing_ok=True)


@dataclass
class Place:
    """A network namespace and the addresses in it."""

    netns: Path
    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address

    def address(self, version: int) -> str:
        return str(self.ipv4 if version == 4 else self.ipv6)

    def listen(self, version: int = 4, kind: int = socket.SOCK_STREAM, port: int = 0) -> socket.socket:
        return inside(self.netns, lambda: listen(version, kind, port))

    def connect(self, address: str, port: int) -> str:
        """Open a connection from here; "open", or the reason why it can't be."""
        return inside(self.netns, lambda: connect(address, port))


def listen(version: int = 4, kind: int = socket.SOCK_STREAM, port: int = 0, address: str = "") -> socket.socket:
    s = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind)
    s.settimeout(WAIT)
    s.bind((address or ("0.0.0.0" if version == 4 else "::"), port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


def connect(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.settimeout(WAIT)
        try:
            s.connect((address, port))
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return os.strerror(error.errno or 0)
        return "open"


def port_of(s: socket.socket) -> int:
    return int(s.getsockname()[1])


@dataclass
class World:
    """One cloud on this host and the machines in it."""

    cloud: Cloud
    network: Network
    places: list[Place] = field(default_factory=list)

    def blank(self, name: str) -> Place:
        number = len(self.places) + 16  # below are the gateway and the DNS server
        place = Place(
            self.cloud.run / "test-netns" / name,
            name,
            self.cloud.ipv4_network.network_address + number,
            self.cloud.ipv6_network.network_address + number,
        )
        self.places.append(place)
        pin_namespace(place.netns)
        return place

    def machine(self, name: str, network: str) -> Place:
        place = self.blank(name)
        self.network.prepare(place.netns, name)
        self.assign(place, network)
        return place

    def assign(self, place: Place, network: str) -> None:
        self.network.assign(place.netns, place.name, network, place.ipv4, place.ipv6)


@contextmanager
def world(home: Path) -> Iterator[World]:
    cloud_id = secrets.token_hex(4)
    subnet = next(free_network(cloud_id).subnets(new_prefix=24))
    cloud = Cloud(cloud_id, home, 0, 0, "test", subnet)
    made = World(cloud, Network(cloud))
    try:
        made.network.ensure()
        yield made
    finally:
        for place in made.places:
            unpin_namespace(place.netns)
        made.network.destroy()
        shutil.rmtree(cloud.run, ignore_errors=True)


@pytest.fixture
def cloud_world(tmp_path: Path) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.fail("these tests need root")
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def other_world(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "other") as made:
        yield made


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Place]:
    """A host beyond this one, with a metadata service's address among its own; it has no route to machines."""
    code = secrets.token_hex(3)
    third, fourth = secrets.randbelow(256), secrets.randbelow(63) * 4
    here, there = f"198.18.{third}.{fourth + 1}", f"198.18.{third}.{fourth + 2}"
    place = Place(tmp_path / "outside", "outside", IPv4Address(there), IPv6Address("fd5e::1"))
    metadata = f"169.254.{third}.{fourth + 2}/32"
    with ExitStack() as stack:
        pin_namespace(place.netns)
        stack.callback(unpin_namespace, place.netns)
        descriptor = os.open(place.netns, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        ip = stack.enter_context(IPRoute())
        peer = {"ifname": "eth0", "net_ns_fd": descriptor}
        ip.link("add", ifname=f"t{code}", kind="veth", peer=peer, state="up")
        index = socket.if_nametoindex(f"t{code}")
        stack.callback(ip.link, "del", index=index)
        ip.addr("add", index=index, address=here, prefixlen=30)

        def inner() -> None:
            with IPRoute() as ip:
                ip.link("set", index=1, state="up")
                eth0 = socket.if_nametoindex("eth0")
                ip.link("set", index=eth0, state="up")
                ip.addr("add", index=eth0, address=there, prefixlen=30)
                ip.addr("add", index=eth0, address=metadata.split("/")[0], prefixlen=32)

        inside(place.netns, inner)
        ip.route("add", dst=metadata, gateway=there, oif=index)
        yield place
