"""What Envoy is told of apps with the handler `pg_tls`: one listener for all of a cell's, in which names decide. Pure.

It takes connections from the front alone (postgres_front.py), which has seen to what comes before the TLS greeting.
Each app has filter chains of its own, so that a change of one breaks no connection of another. Names that no
app has don't come here: the front has refused them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roost.edge import tls
from roost.edge.bounds import PORT_CLIENT_BUFFER
from roost.edge.contract import PublicPort
from roost.edge.listener import EdgePlace, client_address
from roost.edge.port_config import port_name, tcp_proxy
from roost.edge.postgres_front import NAME, PROTOCOL
from roost.edge.protos import LISTENER, parse, resource

PROTOCOL_KEY = "pg"  # of public ports: one port, many apps


def postgres_listener(ports: Iterable[PublicPort], place: EdgePlace, socket: Path) -> Any:
    """Return the listener in which these apps' names are known."""
    chains = [chain for port in sorted(ports, key=lambda one: one.app) for chain in _chains(port, place)]
    message = parse(
        LISTENER,
        {
            "name": NAME,
            "address": {"pipe": {"path": str(socket), "mode": 0o660}},
            "per_connection_buffer_limit_bytes": PORT_CLIENT_BUFFER,
            "listener_filters": [client_address(), tls.inspector()],
            "filter_chains": chains,
        },
    )
    return resource(NAME, message)


def _chains(port: PublicPort, place: EdgePlace) -> list[dict[str, Any]]:
    name = port_name(port)
    filters = [tcp_proxy(name, place.log, secure=True)]
    domain = place.domain if place.shared else ""
    return tls.chains_of_hosts(name, port.hosts, domain, filters, (PROTOCOL,), port.tls.versions or tls.VERSIONS)
