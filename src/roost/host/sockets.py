"""Which connections the host has, as the kernel sees them."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_ESTABLISHED = "01"  # include/net/tcp_states.h


def established(*, table: Path = Path("/proc/net/tcp")) -> Counter[tuple[str, int]]:
    """Count the established TCP connections of this host by the IPv4 address and port at their other end."""
    written = Counter(remote for remote, state in _connections(table) if state == _ESTABLISHED)
    found: Counter[tuple[str, int]] = Counter()
    for remote, count in written.items():
        address, _, port = remote.partition(":")
        found[str(parse_address(address)), int(port, 16)] = count
    return found


def connections_to(address: str, port: int, *, table: Path = Path("/proc/net/tcp")) -> int:
    """Count established TCP connections from this host to an IPv4 address and port."""
    (number,) = struct.unpack("<I", socket.inet_aton(address))  # the kernel prints it in host byte order
    wanted = f"{number:08X}:{port:04X}"
    return sum(remote == wanted and state == _ESTABLISHED for remote, state in _connections(table))


def peers(table: Path) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses at the other ends of the connections in a table like /proc/net/tcp or tcp6."""
    for remote, _ in _connections(table):
        address = parse_address(remote.partition(":")[0])
        if address.version == 4 and not address.is_unspecified:  # nobody is at the other end of one that listens
            yield address


def parse_address(digits: str) -> IPv4Address | IPv6Address:
    """Return an address as the kernel's tables have it, in words of the host's byte order; of IPv4 if it is mapped."""
    raw = b"".join(struct.pack("<I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
    if len(raw) == 4:
        return IPv4Address(raw)
    address = IPv6Address(raw)
    return address.ipv4_mapped or address


def _connections(table: Path) -> Iterator[tuple[str, str]]:
    """Yield address and port at the other end, and the state, of each line, as they are written there."""
    with table.open() as lines:
        next(lines)
        for line in lines:
            _, _, remote, state, _ = line.split(maxsplit=4)
            yield remote, state
