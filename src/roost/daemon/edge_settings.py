"""`[edge]` of config.toml: where the edge is, its cells, and what it takes of one client address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

from roost.host.network_clients import ClientLimits
from roost.model.errors import BadInput
from roost.model.public_ports import POSTGRES
from roost.model.rate_limit import RateLimit, read_rate
from roost.plan.cells import MAX_CELLS, MAX_OWN_CELLS, http3_port, own_cell
from roost.plan.public_ports import DEFAULT_RANGES, read_ranges

KEYS = frozenset(
    {
        "address",
        "cells",
        "own_cells",
        "service_ports",
        "postgres_port",
        "http3",
        "udp_client_address",
        "trusted_proxies",
        "proxy_protocol_from",
        "address_per_second",
        "address_burst",
        "address_connections",
        "address_new_connections",
    }
)
CLIENTS = ClientLimits(connections=2000, arrivals=500)
MOST_PROXIES = 256  # networks of trusted proxies
_MAPPED = IPv6Network("::ffff:0:0/96")  # all addresses of IPv4, as IPv6 spells them
USUAL = RateLimit(1000.0, 5000)  # of one client address: an office or a mobile network behind one is no attack


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What the edge is told."""

    address: str = ""  # IPv4, under which the edge is reached from outside; "": the one the server goes out with
    cells: int = 1  # how many processes of the edge share the orgs
    own_cells: tuple[str, ...] = ()  # orgs that have one of their own besides
    service_ports: tuple[tuple[int, int], ...] = DEFAULT_RANGES  # ports that apps may have for themselves
    postgres_port: int = POSTGRES[1]  # that apps with the handler pg_tls share; 0: none
    http3: bool = False  # HTTP/3, on UDP ports from that of https on
    udp_client_address: bool = False  # machines see who sends datagrams; Envoy gets a capability for it
    trusted_proxies: tuple[str, ...] = ()  # networks of proxies before it that are believed about who the client is
    balancers: tuple[str, ...] = ()  # IPv4 networks whose connections say by the PROXY protocol who calls
    clients: ClientLimits = CLIENTS  # connections of one client address
    by_address: RateLimit | None = USUAL  # requests of one client address; None: no limit

    @property
    def all_cells(self) -> int:
        """How many cells the edge has."""
        return self.cells + len(self.own_cells)

    def http3_ports(self, https: int) -> list[int]:
        """Return the UDP ports for HTTP/3 of an edge with this https port; none without either."""
        return [http3_port(https, place) for place in range(self.all_cells)] if self.http3 and https else []


def read_edge(data: Mapping[str, Any]) -> EdgeSettings:
    """Read `[edge]`; raises BadInput that names the key."""
    proxies = _read_trusted_proxies(data.get("trusted_proxies", []))
    balancers = _read_balancers(data.get("proxy_protocol_from", []))
    return EdgeSettings(
        address=_read_address(data.get("address", "")),
        cells=_read_cells(data.get("cells", 1)),
        own_cells=_read_own_cells(data.get("own_cells", [])),
        service_ports=_read_service_ports(data.get("service_ports")),
        postgres_port=_read_postgres_port(data.get("postgres_port", POSTGRES[1])),
        http3=_read_http3(data.get("http3", False)),
        udp_client_address=_read_udp_client_address(data.get("udp_client_address", False)),
        trusted_proxies=proxies,
        balancers=balancers,
        clients=ClientLimits(
            _read_connections(data, "address_connections", CLIENTS.connections),
            _read_connections(data, "address_new_connections", CLIENTS.arrivals),
            _together(network for network in (*proxies, *balancers) if ":" not in network),
        ),
        by_address=_read_by_address(data.get("address_per_second"), data.get("address_burst")),
    )


def _read_address(value: object) -> str:
    try:
        return str(IPv4Address(str(value))) if value != "" else ""
    except ValueError:
        raise BadInput(
            f"edge.address must be an IPv4 address, not {str(value)[:40]!r}", hint='for example "203.0.113.7"'
        ) from None


def _read_cells(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CELLS:
        raise BadInput(f"edge.cells must be a whole number from 1 to {MAX_CELLS}, not {str(value)[:40]!r}")
    return value


def _read_own_cells(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(org, str) and org for org in value):
        raise BadInput("edge.own_cells must be a list of orgs", hint='for example ["acme"]')
    if len(value) > MAX_OWN_CELLS or len(set(map(own_cell, value))) < len(value):
        raise BadInput(f"edge.own_cells must name each org once, and {MAX_OWN_CELLS} at most")
    return tuple(value)


def _read_service_ports(value: object) -> tuple[tuple[int, int], ...]:
    return DEFAULT_RANGES if value is None else read_ranges(value, "edge.service_ports")


def _read_postgres_port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 65536:
        raise BadInput("edge.postgres_port must be a port, or 0 for none", hint="5432 is where clients look")
    return value


def _read_http3(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"edge.http3 must be true or false, not {str(value)[:40]!r}")
    return value


def _read_udp_client_address(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"edge.udp_client_address must be true or false, not {str(value)[:40]!r}")
    return value


def _read_trusted_proxies(value: object) -> tuple[str, ...]:
    hint = 'for example ["203.0.113.7", "198.51.100.0/24", "2001:db8::/32"]'
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > MOST_PROXIES:
        raise BadInput(
            f"edge.trusted_proxies must be a list of addresses or networks, {MOST_PROXIES} at most", hint=hint
        )
    try:
        found = [ip_network(one) for one in value]
    except ValueError as error:
        raise BadInput(f"edge.trusted_proxies: {error}", hint=hint) from None
    v4 = tuple(collapse_addresses(one for one in found if isinstance(one, IPv4Network)))
    v6 = tuple(collapse_addresses(one for one in found if isinstance(one, IPv6Network)))
    if any(one.prefixlen == 0 for one in v4) or any(_MAPPED.subnet_of(one) for one in v6):
        raise BadInput("edge.trusted_proxies must not name all addresses: any client could say who it is", hint=hint)
    return (*map(str, v4), *map(str, v6))


def _together(networks: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(str, collapse_addresses(map(IPv4Network, networks))))


def _read_balancers(value: object) -> tuple[str, ...]:
    try:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError
        found = _together(value)
    except ValueError:
        raise BadInput(
            f"edge.proxy_protocol_from must be a list of IPv4 networks or addresses, not {str(value)[:40]!r}",
            hint='those of your load balancers, for example ["10.0.3.0/24", "203.0.113.9"]',
        ) from None
    if "0.0.0.0/0" in found:
        raise BadInput(
            "edge.proxy_protocol_from must not be everybody: who is in it may claim any address",
            hint="name the addresses of your load balancers",
        )
    return found


def _read_connections(data: Mapping[str, Any], key: str, usual: int) -> int:
    value = data.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
        raise BadInput(f"edge.{key} must be a whole number from 0 to 1000000", hint="0: no limit")
    return value


def _read_by_address(per_second: object, burst: object) -> RateLimit | None:
    if per_second == 0 and not isinstance(per_second, bool):
        if burst is not None:
            raise BadInput("edge.address_burst has no effect without a limit", hint="remove it")
        return None
    if per_second is None and burst is None:
        return USUAL
    return read_rate(per_second, burst, "edge", "address_")
