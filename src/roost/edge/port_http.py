"""HTTP on a port that is one app's own: whatever host a request names, it is the app's. Pure.

The routes are a configuration of their own, like the port's name, so that the listener never changes with them. A
request to an app that sleeps waits at the port's door, as a connection does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.edge import bounds, tls
from roost.edge.contract import PublicPort, Route
from roost.edge.listener import ADS, EdgePlace, connection_manager, routes
from roost.edge.named_https import of_own
from roost.edge.port_config import listener_message, port_name
from roost.edge.protos import resource
from roost.edge.snapshot import app_cluster, virtual_host


def _route(port: PublicPort) -> Route:
    return Route(
        port.app, ("*",), port.endpoints, port.region, hard_limit=port.hard_limit, org=port.org, http=port.http,
        idle_timeout=port.http.idle_timeout, limits=port.limits,
    )  # fmt: skip


def http_listener(port: PublicPort, place: EdgePlace) -> Any:
    """Return the listener of a port with the handler http."""
    secure = "tls" in port.handlers
    manager = of_own(connection_manager(place, port.port, secure=secure), port)
    manager["rds"] = {"route_config_name": port_name(port), "config_source": ADS}
    filters = [{"name": "http", "typed_config": manager}]
    chains: list[dict[str, Any]] = [{"filters": filters}]
    if secure:
        alpn, versions = port.tls.alpn or tls.ALPN, port.tls.versions or tls.VERSIONS
        chains = tls.chains_by_name(place.domain, filters, alpn, versions, shared=place.shared)
    return listener_message(port, chains, bounds.of_socket(), bounds.CLIENT_BUFFER)


def http_routes(port: PublicPort) -> Any:
    """Return the route configuration of a port with the handler http."""
    name = port_name(port)
    message = routes(name, {})
    del message.virtual_hosts[:]
    message.virtual_hosts.append(virtual_host(_route(port), cluster=name))
    return resource(name, message)


def http_cluster(port: PublicPort, door: Path) -> Any:
    """Return the cluster of a port with the handler http."""
    return app_cluster(_route(port), door, port_name(port))
