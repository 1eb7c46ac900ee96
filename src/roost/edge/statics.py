"""The part of Envoy's configuration for files that are served without the app: routes, and who serves them. Pure.

An awake app's virtual host has a route for each of its statics, before its own; for a sleeping one the activator does
the same. Requests for statics are none of the app's traffic: they keep it neither awake nor wake it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.edge.bounds import MACHINE_BUFFER
from roost.edge.protos import CLUSTER, VIRTUAL_HOST, parse, resource
from roost.edge.static_paths import HEADER, METHODS, AppStatics, longest_first
from roost.edge.steering_config import codec

CLUSTER_NAME = "statics"
ROUTE_PREFIX = "statics/"  # before an app's name
MAX_REQUESTS = 3072
SILENCE = 60.0  # seconds until a client that takes nothing is given up
_EXTENSIONS = "type.googleapis.com/envoy.extensions."


def static_routes(of: AppStatics | None) -> Any:
    """Return the routes that go before an app's own in its virtual host."""
    if of is None:
        return []
    routes: list[dict[str, Any]] = []
    for static in longest_first(of.statics):
        whole = static.url_prefix == "/"
        match: dict[str, Any] = {"prefix": "/"} if whole else {"path_separated_prefix": static.url_prefix}
        methods = {"safe_regex": {"regex": "|".join(METHODS)}}
        match["headers"] = [{"name": ":method", "string_match": methods}]
        value = of.header(static).replace("%", "%%")  # Envoy's sign for what it fills in
        routes.append(
            {
                "name": f"{ROUTE_PREFIX}{of.app}",
                "match": match,
                "route": {"cluster": CLUSTER_NAME, "timeout": "0s", "idle_timeout": f"{SILENCE:g}s"},
                "request_headers_to_add": [
                    {"header": {"key": HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                ],
                "request_headers_to_remove": ["roost-activator"],
            }
        )
    return parse(VIRTUAL_HOST, {"name": "-", "domains": ["-"], "routes": routes}).routes


def static_app_of(route_name: str) -> str:
    """Return the app of a route's name in the access log, "" if it is none of an app's statics."""
    return route_name.removeprefix(ROUTE_PREFIX) if route_name.startswith(ROUTE_PREFIX) else ""


def statics_cluster(socket: Path) -> Any:
    """Return the cluster of the process that serves them."""
    protocol = {
        "@type": f"{_EXTENSIONS}upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "10s"},
        "http_filters": [codec()],  # not those for machines: what it says of errors is the edge's word
    }
    limits = {"max_connections": MAX_REQUESTS, "max_pending_requests": MAX_REQUESTS, "max_requests": MAX_REQUESTS}
    pipe = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    message = parse(
        CLUSTER,
        {
            "name": CLUSTER_NAME,
            "type": "STATIC",
            "connect_timeout": "2s",
            "per_connection_buffer_limit_bytes": MACHINE_BUFFER,
            "load_assignment": {"cluster_name": CLUSTER_NAME, "endpoints": [{"lb_endpoints": [pipe]}]},
            "circuit_breakers": {"thresholds": [limits]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        },
    )
    return resource(CLUSTER_NAME, message)
