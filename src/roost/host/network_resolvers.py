"""The DNS resolvers that machines may use: the host's upstream ones.

It owns no state and reads the host's resolver files each time it is asked.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

SOURCES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))  # upstream servers first
FALLBACK = ("1.1.1.1", "8.8.8.8")  # public ones, for a host that only has a resolver of its own
MAX_RESOLVERS = 3  # the C library reads no more (resolv.conf(5))


def parse_resolvers(text: str) -> tuple[str, ...]:
    """Return the addresses in a resolv.conf that mean the same in another network namespace.

    Loopback, link-local IPv6 (needs an interface), unspecified and malformed ones are left out.
    """
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address: IPv4Address | IPv6Address = ip_address(words[1])
        except ValueError:
            continue
        usable = not (address.is_loopback or address.is_unspecified or address.is_multicast)
        if usable and not (address.version == 6 and address.is_link_local) and str(address) not in found:
            found.append(str(address))
    return tuple(found)


def resolvers() -> tuple[str, ...]:
    """Return up to three resolvers for machines, never none; see `host_resolvers`."""
    return host_resolvers() or FALLBACK


def host_resolvers(sources: tuple[Path, ...] = SOURCES) -> tuple[str, ...]:
    """Return the host's resolvers fit for machines, or () when the host has only ones of its own.

    An address of the host itself is left out, since machines don't reach the host.
    """
    for source in sources:
        try:
            text = source.read_text(errors="replace")
        except OSError:
            continue
        fit = tuple(address for address in parse_resolvers(text) if not _is_local(address))
        if fit:
            return fit[:MAX_RESOLVERS]
    return ()


def _is_local(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))  # only an address of this host can be bound
    except OSError:
        return False
    return True
