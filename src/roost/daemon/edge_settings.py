"""`[edge]` of config.toml: where the edge is, its cells, and what it takes of one client address. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from roost.host.network_clients import ClientLimits
from roost.model.errors import BadInput
from roost.model.rate_limit import RateLimit, read_rate
from roost.plan.cells import MAX_CELLS, MAX_OWN_CELLS, own_cell
from roost.plan.public_ports import DEFAULT_RANGES, POSTGRES, read_ranges

KEYS = frozenset(
    {
        "address",
        "cells",
        "own_cells",
        "service_ports",
        "postgres_port",
        "http3",
        "udp_client_address",
        "address_per_second",
        "address_burst",
        "address_connections",
        "address_new_connections",
    }
)
CLIENTS = ClientLimits(connections=2000, arrivals=500)
USUAL = RateLimit(1000.0, 5000)  # of one client address: an office or a mobile network behind one is no attack


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What the edge is told."""

    address: str = ""  # IPv4, under which the edge is reached from outside; "": the one the server goes out with
    cells: int = 1  # how many processes of the edge share the orgs
    own_cells: tuple[str, ...] = ()  # orgs that have one of their own besides
    service_ports: tuple[tuple[int, int], ...] = DEFAULT_RANGES  # ports that apps may have for themselves
    postgres_port: int = POSTGRES[1]  # that apps with the handler pg_tls share; 0: none
    http3: bool = False  # HTTP/3 on the https port, by UDP
    udp_client_address: bool = False  # machines see who sends datagrams; Envoy gets a capability for it
    clients: ClientLimits = CLIENTS  # connections of one client address
    by_address: RateLimit | None = USUAL  # requests of one client address; None: no limit


def read_edge(data: Mapping[str, Any]) -> EdgeSettings:
    """Read `[edge]`; raises BadInput that names the key."""
    return EdgeSettings(
        address=_read_address(data.get("address", "")),
        cells=_read_cells(data.get("cells", 1)),
        own_cells=_read_own_cells(data.get("own_cells", [])),
        service_ports=_read_service_ports(data.get("service_ports")),
        postgres_port=_read_postgres_port(data.get("postgres_port", POSTGRES[1])),
        http3=_read_http3(data.get("http3", False), data),
        udp_client_address=_read_udp_client_address(data.get("udp_client_address", False)),
        clients=ClientLimits(
            _read_connections(data, "address_connections", CLIENTS.connections),
            _read_connections(data, "address_new_connections", CLIENTS.arrivals),
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


def _read_http3(value: object, data: Mapping[str, Any]) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"edge.http3 must be true or false, not {str(value)[:40]!r}")
    if value and (data.get("cells", 1) != 1 or data.get("own_cells")):
        raise BadInput("edge.http3 can't be had with several cells: the front before them leads TCP only")
    return value


def _read_udp_client_address(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"edge.udp_client_address must be true or false, not {str(value)[:40]!r}")
    return value


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
