"""Which /16 of 10.0.0.0/8 a new cloud gets: none in which this host reaches anything by now.

A cloud's network is routed to its machines: what else has an address in it is out of the host's reach from then on. Not
all that a host reaches has a route of its own: name servers, the gateway and who is connected to it, such as its
operator, may have addresses of 10.0.0.0/8 behind the default route. They are looked at once, when a cloud is made.
What the host will reach only later, such as a VPN's network, the operator knows: `roost up --network` chooses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

from roost.host.network_resolvers import SOURCES, parse_resolvers
from roost.host.sockets import peers
from roost.model.errors import BadInput, Conflict, InsufficientCapacity

_PRIVATE = IPv4Network("10.0.0.0/8")  # RFC 1918


def choose_network(cloud_id: str, used: Iterable[IPv4Network]) -> IPv4Network:
    """Return a /16 of 10.0.0.0/8 that overlaps nothing in `used`, beginning the search at a place of the cloud's own.

    10.0, 10.1 and 10.88 (the usual networks of routers, VPNs and podman) come last. Raises InsufficientCapacity.
    """
    taken = list(used)
    first = int(cloud_id[:4], 16)
    unpopular = (0, 1, 88)
    order = [(first + step) % 256 for step in range(256)]
    for second in [n for n in order if n not in unpopular] + [n for n in order if n in unpopular]:
        network = IPv4Network(f"10.{second}.0.0/16")
        if not any(network.overlaps(other) for other in taken):
            return network
    raise InsufficientCapacity(
        "no /16 of 10.0.0.0/8 is free on this host", hint="see `ip route`; remove clouds with roost destroy-cloud"
    )


def check_network(text: str, used: Iterable[IPv4Network]) -> IPv4Network:
    """Return the network that an operator asks for; raises BadInput when it is no /16 of 10.0.0.0/8, Conflict if used.

    10.60.1.0/16 is refused as well: who writes that may have meant another size.
    """
    hint = "give a /16 in which this server reaches nothing, for example 10.60.0.0/16"
    try:
        network = IPv4Network(text)
    except ValueError:
        raise BadInput(f"--network: {text[:80]!r} is no network", hint=hint) from None
    if network.prefixlen != 16 or not network.subnet_of(_PRIVATE):
        raise BadInput(f"--network: {network} is no /16 of {_PRIVATE}", hint=hint)
    for other in used:
        if network.overlaps(other):
            one = other.prefixlen == other.max_prefixlen
            raise Conflict(
                f"--network: {network} would take the place of {other.network_address if one else other}, "
                "which this server reaches",
                hint=hint,
            )
    return network


def networks_in_use(proc: Path = Path("/proc/net"), resolver_files: Iterable[Path] = SOURCES) -> list[IPv4Network]:
    """Return what this host reaches by now: its routes and gateways, its name servers, who is connected to it."""
    found = list(parse_routes((proc / "route").read_text()))
    for path in resolver_files:
        with contextlib.suppress(OSError):
            found += _ipv4(parse_resolvers(path.read_text(errors="replace")))
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):  # a host without IPv6
            found += {IPv4Network(address) for address in peers(proc / table)}
    return found


def parse_routes(table: str) -> Iterator[IPv4Network]:
    """Yield the destinations in a table like /proc/net/route and the gateways; of default routes the gateway only."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        destination, gateway, mask = (
            IPv4Address(int.from_bytes(bytes.fromhex(words[i]), "little")) for i in (1, 2, 7)
        )  # fmt: skip
        if int(mask):
            yield IPv4Network(f"{destination}/{mask}", strict=False)
        if int(gateway):
            yield IPv4Network(gateway)


def _ipv4(addresses: Iterable[str]) -> Iterator[IPv4Network]:
    return (IPv4Network(address) for address in map(ip_address, addresses) if isinstance(address, IPv4Address))
