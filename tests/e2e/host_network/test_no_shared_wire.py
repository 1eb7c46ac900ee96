"""What a machine with raw sockets puts on its wire reaches no other network: frames, multicast, forged neighbours."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roost.host.network_namespace import inside

from .conftest import connect, port_of

if TYPE_CHECKING:
    from .conftest import Place, World

MARK = b"frame-of-the-attacker"
ALL = b"\xff" * 6
ETH_IPV4, ETH_ARP, ETH_IPV6 = 0x0800, 0x0806, 0x86DD


def mac(place: Place) -> bytes:
    def read() -> bytes:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("eth0", 0))
            return bytes(s.getsockname()[4])

    return inside(place.netns, read)


def link_local(place: Place) -> str:
    def read() -> str:
        rows = [line.split() for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines()]
        return next(str(IPv6Address(int(row[0], 16))) for row in rows if row[5] == "eth0" and row[0].startswith("fe80"))

    return inside(place.netns, read)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp4(source: IPv4Address, to: str) -> bytes:
    body = struct.pack("!4H", 4000, 4000, 8 + len(MARK), 0) + MARK
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, source.packed, IPv4Address(to).packed)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ip6(source: str, to: str, protocol: int, body: bytes) -> bytes:
    ends = IPv6Address(source).packed + IPv6Address(to).packed
    total = checksum(ends + struct.pack("!IHBB", len(body), 0, 0, protocol) + body)
    at = 6 if protocol == 17 else 2
    body = body[:at] + struct.pack("!H", total) + body[at + 2 :]
    return struct.pack("!IHBB", 0x60000000, len(body), protocol, 255) + ends + body


def udp6(source: str, to: str) -> bytes:
    return ip6(source, to, 17, struct.pack("!4H", 4000, 4000, 8 + len(MARK), 0) + MARK)


def arp(kind: int, sender: bytes, claimed: IPv4Address, target: IPv4Address) -> bytes:
    return struct.pack("!HHBBH6s4s6s4s", 1, ETH_IPV4, 6, 4, kind, sender, claimed.packed, ALL, target.packed) + MARK


def advertisement(sender: bytes, claimed: IPv6Address, to: str) -> bytes:
    """Return a neighbour advertisement that overrides: `claimed` is at `sender`."""
    option = struct.pack("!BB6s", 2, 1, sender)
    return ip6(str(claimed), to, 58, struct.pack("!BBHI16s", 136, 0, 0, 0x20000000, claimed.packed) + option)


@contextmanager
def listening_to_the_wire(place: Place) -> Iterator[socket.socket]:
    """All that arrives at a machine's interface, whoever it is for."""

    def open_() -> socket.socket:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind(("eth0", 3))
        s.settimeout(0.2)
        return s

    with inside(place.netns, open_) as s:
        yield s


def heard(wire: socket.socket, *words: bytes, within: float) -> list[bytes]:
    """Return the frames with one of `words` in them, until none came for `within` seconds."""
    wire.settimeout(within)
    frames, end = [], time.monotonic() + 5
    while time.monotonic() < end:
        try:
            frame, about = wire.recvfrom(2000)
        except TimeoutError:
            break
        if about[2] != socket.PACKET_OUTGOING and any(word in frame for word in words):
            frames.append(frame)
    return frames


def send(place: Place, frames: list[tuple[bytes, int, bytes]]) -> None:
    own = mac(place)

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("eth0", 0))
            for to, kind, body in frames:
                s.send(to + own + struct.pack("!H", kind) + body)

    inside(place.netns, work)


def attacks(attacker: Place, victim: Place, router: bytes) -> list[tuple[bytes, int, bytes]]:
    own, there = mac(attacker), mac(victim)
    mine, local, theirs = str(attacker.ipv6), link_local(attacker), link_local(victim)
    frames = []
    for to in (router, there, ALL):
        targets4 = (str(victim.ipv4), "224.0.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255")
        frames += [(to, ETH_IPV4, udp4(attacker.ipv4, address)) for address in targets4]
        targets6 = (str(victim.ipv6), theirs, "ff02::1", "ff02::2", "ff02::fb", "ff05::1", "ff0e::1")
        frames += [(to, ETH_IPV6, udp6(source, address)) for source in (mine, local) for address in targets6]
        frames += [(to, ETH_ARP, arp(kind, own, victim.ipv4, victim.ipv4)) for kind in (1, 2)]  # asked and told
        frames += [(to, ETH_IPV6, advertisement(own, victim.ipv6, address)) for address in ("ff02::1", "fe80::1")]
    return frames


@pytest.mark.parametrize("networks", [("acme", "bolt"), ("acme", "acme")], ids=["strangers", "neighbours"])
def test_no_frame_of_a_machine_reaches_another_one(cloud_world: World, networks: tuple[str, str]) -> None:
    """Not even in the same network: what arrives was routed, from an address that is the sender's own."""
    attacker, victim = cloud_world.machine("attacker", networks[0]), cloud_world.machine("victim", networks[1])
    friends = networks[0] == networks[1]
    with victim.listen() as server, victim.listen(6) as server6:
        for address, there in ((str(victim.ipv4), server), (str(victim.ipv6), server6)):
            assert connect(address, port_of(there)) == "open"  # the host knows where the victim is
        router = bytes.fromhex(neighbour_of(attacker).replace(":", ""))
        with listening_to_the_wire(victim) as wire:
            send(attacker, attacks(attacker, victim, router))
            frames = heard(wire, MARK, mac(attacker), within=0.3)
        own = {str(attacker.ipv4), str(attacker.ipv6)}
        unasked = [frame for frame in frames if not (friends and routed(frame, own, victim))]
        assert not unasked, unasked[:3]
        assert bool(frames) is friends  # what may arrive does: the wire was listened to
        for address, there in ((str(victim.ipv4), server), (str(victim.ipv6), server6)):
            assert connect(address, port_of(there)) == "open"  # and it knows still, in spite of the forgeries


def routed(frame: bytes, sources: set[str], victim: Place) -> bool:
    """Whether a frame is a packet to the victim's own address from one of `sources`."""
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == ETH_IPV4:
        return str(IPv4Address(frame[26:30])) in sources and IPv4Address(frame[30:34]) == victim.ipv4
    if kind == ETH_IPV6:
        return str(IPv6Address(frame[22:38])) in sources and IPv6Address(frame[38:54]) == victim.ipv6
    return False


def neighbour_of(place: Place) -> str:
    """Return the MAC of a machine's gateway, as its kernel found out."""

    def read() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", ("198.51.100.1", 9))
        for _ in range(100):
            for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
                if line.split()[3] != "00:00:00:00:00:00":
                    return line.split()[3]
            time.sleep(0.01)
        raise AssertionError("the gateway does not answer")

    return inside(place.netns, read)
