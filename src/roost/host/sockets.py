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
    found: Counter[tuple[str, int]] = Counter()
    with table.open() as lines:
        next(lines)
        for line in lines:
            fields = line.split(maxsplit=4)
            if fields[3] == _ESTABLISHED:
                address, _, port = fields[2].partition(":")
                found[socket.inet_ntoa(struct.pack("<I", int(address, 16))), int(port, 16)] += 1
    return found


def connections_to(address: str, port: int, *, table: Path = Path("/proc/net/tcp")) -> int:
    """Count established TCP connections from this host to an IPv4 address and port."""
    (number,) = struct.unpack("<I", socket.inet_aton(address))  # the kernel prints it in host byte order
    remote = f"{number:08X}:{port:04X}"
    count = 0
    with table.open() as lines:
        next(lines)
        for line in lines:
            fields = line.split(maxsplit=4)
            if fields[2] == remote and fields[3] == _ESTABLISHED:
                count += 1
    return count


def peers(table: Path) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses at the other ends of the connections in a table like /proc/net/tcp or tcp6."""
    with table.open() as lines:
        next(lines)
        for line in lines:
            digits = line.split(maxsplit=4)[2].partition(":")[0]
            raw = b"".join(struct.pack("<I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
            address = IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw).ipv4_mapped
            if address is not None and not address.is_unspecified:  # nobody is at the other end of one that listens
                yield address
