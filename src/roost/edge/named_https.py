"""Filter chains of the https listener for apps that ask for a way of their own: versions of TLS, protocols,
time, answers without the edge's own headers. Pure.

Apps that ask for nothing share two chains for all names; these come before them, for the app's own names alone. They
are there while the app sleeps, too. Checks of certificate authorities for these names go where all go.
"""

from __future__ import annotations

from typing import Any

from roost.edge import tls
from roost.edge.contract import PublicPort
from roost.edge.listener import EdgePlace, connection_manager
from roost.edge.port_config import port_name

HTTPS_BY_NAME = "https"  # protocol of such a public port


def chains_of_app(port: PublicPort, place: EdgePlace) -> list[dict[str, Any]]:
    """Return the filter chains of an app's names on the https port."""
    manager = of_own(connection_manager(place, place.https_port, secure=True), port)
    filters = [{"name": "http", "typed_config": manager}]
    alpn, versions = port.tls.alpn or tls.ALPN, port.tls.versions or tls.VERSIONS
    domain = place.domain if place.shared else ""
    name = port_name(port)
    return [
        *tls.chains_of_hosts(name, port.hosts, domain, filters, alpn, versions),
        tls.challenge_chain_of(name, port.hosts),
    ]


def of_own(manager: dict[str, Any], port: PublicPort) -> dict[str, Any]:
    """Return a connection manager that does what the port asks for: time for a request's headers, bare answers."""
    if port.http.headers_timeout:
        manager = manager | {"request_headers_timeout": f"{port.http.headers_timeout:g}s"}
    if port.http.pristine:
        manager = manager | {
            "server_header_transformation": "PASS_THROUGH",
            "http_filters": [_without_ids(), *manager["http_filters"]],
        }
        manager.pop("server_name", None)
        manager.pop("via", None)
    return manager


def _without_ids() -> dict[str, Any]:
    """Return the filter, which sees answers last, that takes off what routes put on."""
    kind = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    removed = [{"remove": "fly-request-id"}]
    return {"name": "pristine", "typed_config": {"@type": kind, "mutations": {"response_mutations": removed}}}
