"""The parts of Envoy's configuration that do not depend on apps: listeners, default route, activator. Pure.

One listener speaks HTTP/1.1 and h2c on all addresses, another the same by TLS (`tls`), with the same routes.
They throw away what a client may not say (reserved headers, underscores, more than 64 KiB of headers), and say to
the app what the reference asks for (Fly-Client-IP and so on; native/headers.c). A host that has no virtual host of
its own goes to the activator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.edge import admission, bodies, bounds, flycast, limits, quic, tls
from roost.edge.head import PRIVATE_HOST
from roost.edge.http_options import compressors
from roost.edge.native_module import access_logger, early_headers
from roost.edge.protos import CLUSTER, LISTENER, ROUTES, parse, resource
from roost.edge.refused_first import refuse_marked
from roost.edge.replies import local_reply_config
from roost.edge.snapshot import ACTIVATOR, ROUTES_NAME, lead_to_activator
from roost.edge.steering_config import (
    AGAIN,
    ID,
    hooks,
    hooks_of_machines,
    lead_wishes,
)
from roost.model.cloud import FLYCAST_PORT
from roost.model.rate_limit import RateLimit

HTTP = "http"  # the listeners' names
HTTPS = "https"
LOG = Path("envoy/requests.log")  # below an Envoy's files, in the one directory that it may write
MAX_ACTIVATED = 8192  # requests at once through the activator
_EXTENSIONS = "type.googleapis.com/envoy.extensions."
ADS = {"ads": {}, "resource_api_version": "V3"}


@dataclass(frozen=True, slots=True)
class EdgePlace:
    """Where this edge is, as requests and Envoy see it."""

    port: int
    region: str
    activator: Path  # socket
    https_port: int = 0  # 0: no TLS
    domain: str = "localhost"
    incoming: Path | None = (
        None  # directory of the sockets on which the front's connections come; None: no front, the ports are Envoy's
    )

    private: tuple[str, ...] = ()  # the edge's addresses in private networks, IPv4 first; (): it doesn't serve them
    http3_port: int = 0  # of its own, by UDP; 0: no HTTP/3
    shared: bool = True  # names of the cloud's domain share a certificate
    by_address: RateLimit | None = None  # requests that it takes of one client address; None: no limit
    udp_as_client: bool = False  # datagrams reach machines with the client's own address
    bodies_room: int = 512 << 20  # bytes of requests' bodies that Envoy may have
    proxies: tuple[str, ...] = ()  # networks of proxies before it that are believed about who the client is

    @property
    def speaks_http3(self) -> bool:
        """Whether there is a listener for HTTP/3."""
        return bool(self.http3_port and self.https_port) and tls.has_wildcard(self.domain)

    @property
    def log(self) -> Path:
        """The file to which Envoy writes the requests that have ended."""
        return self.activator.parent / LOG

    @property
    def replay(self) -> Path:
        """Socket of the replay server."""
        return self.activator.with_name("replay.sock")


def listeners(place: EdgePlace, by_name: Sequence[dict[str, Any]] = (), by_quic: Sequence[str] = ()) -> list[Any]:
    """Return the listener resources: http, and https where it has a port, there with further chains `by_name`.

    `by_quic`: names outside the cloud's domain that are served by HTTP/3.
    """
    found = [_listener(place, HTTP, place.port, [{"filters": _filters(place, place.port, secure=False)}], [])]
    if place.https_port:
        filters = _filters(place, place.https_port, secure=True)
        told = [quic.told(place.http3_port)] if place.speaks_http3 else []
        telling = _filters(place, place.https_port, secure=True, told=told)
        chains = [*tls.filter_chains(place.domain, telling, shared=place.shared), *by_name]
        found.append(_listener(place, HTTPS, place.https_port, chains, [tls.inspector()]))
        if place.speaks_http3:
            found.append(quic.listener(place.http3_port, place.domain, filters[0]["typed_config"], by_quic))
    if place.private:
        found.append(_private_listener(place))
    return found


def _private_listener(place: EdgePlace) -> Any:
    """Return the listener for private networks: plain HTTP, by the address that was called."""
    manager = connection_manager(place, 80, secure=False, public=False)
    manager["rds"] = {"route_config_name": flycast.ROUTES_NAME, "config_source": ADS}
    manager["http_filters"] = [
        flycast.by_address(),
        *_http_filters(place.bodies_room, [flycast.forget_call()]),
    ]
    first, *others = [{"socket_address": {"address": address, "port_value": FLYCAST_PORT}} for address in place.private]
    message = parse(
        LISTENER,
        {
            "name": flycast.LISTENER_NAME,
            "address": first,
            "additional_addresses": [{"address": address} for address in others],
            "freebind": True,
            "per_connection_buffer_limit_bytes": bounds.CLIENT_BUFFER,
            "listener_filters": [flycast.original_address()],
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        },
    )
    return resource(flycast.LISTENER_NAME, message)


def _filters(place: EdgePlace, port: int, *, secure: bool, told: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the network filters of a filter chain; `told` are further HTTP filters, which see answers last."""
    manager = connection_manager(place, port, secure=secure)
    manager["http_filters"] = [*told, *manager["http_filters"]]
    return [{"name": "http", "typed_config": manager}]


def _listener(
    place: EdgePlace, name: str, port: int, chains: list[dict[str, Any]], inspectors: list[dict[str, Any]]
) -> Any:
    where: dict[str, Any] = {
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},  # noqa: S104
        "socket_options": bounds.of_socket(),
    }
    first: list[dict[str, Any]] = []
    if place.incoming is not None:
        where = {"address": {"pipe": {"path": str(incoming_socket(place.incoming, name)), "mode": 0o660}}}
        first = [client_address()]
    message = parse(
        LISTENER,
        {
            "name": name,
            **where,
            "per_connection_buffer_limit_bytes": bounds.CLIENT_BUFFER,
            "listener_filters": [*first, *inspectors],
            "filter_chains": chains,
        },
    )
    return resource(name, message)


def incoming_socket(directory: Path, name: str) -> Path:
    """Return where a listener takes the front's connections."""
    return directory / f"{name}.sock"


def client_address() -> dict[str, Any]:
    """Return the listener filter that takes the client's address from what the front says first."""
    kind = f"{_EXTENSIONS}filters.listener.proxy_protocol.v3.ProxyProtocol"
    return {"name": "envoy.filters.listener.proxy_protocol", "typed_config": {"@type": kind}}


def route_configuration() -> Any:
    """Return the route configuration: apps come by VHDS, everything else goes to the activator."""
    return resource(ROUTES_NAME, routes(ROUTES_NAME, {"vhds": {"config_source": ADS}}))


def private_route_configuration(hosts: Sequence[Any]) -> Any:
    """Return the route configuration of private networks, with the virtual hosts of apps that are awake."""
    message = routes(flycast.ROUTES_NAME, {})
    for entry in (one for one in message.virtual_hosts[0].routes if one.HasField("route")):
        entry.route.host_rewrite_header = PRIVATE_HOST
    message.virtual_hosts.extend(hosts)
    return resource(flycast.ROUTES_NAME, message)


def routes(name: str, more: dict[str, Any]) -> Any:
    """Return a route configuration in which every host leads to the activator."""
    default = {"name": ACTIVATOR, "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]}
    message = parse(
        ROUTES,
        {
            "name": name,
            "virtual_hosts": [default],
            **more,
            "ignore_port_in_host_matching": True,
            "request_headers_to_remove": ["x-envoy-external-address"],  # each one costs every request
            "response_headers_to_remove": [AGAIN],
            "response_headers_to_add": [
                {"header": {"key": ID, "value": "%REQ(X-REQUEST-ID)%"}}
            ],  # the hook took others
        },
    )
    (host,) = message.virtual_hosts
    lead_to_activator(host.routes[0])
    lead_wishes(host)
    refuse_marked(host)
    return message


def activator_cluster(place: EdgePlace) -> Any:
    """Return the activator's cluster. A connection carries one request: the activator splices, it does not parse."""
    protocol = {
        "@type": f"{_EXTENSIONS}upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": 1},
        "http_filters": hooks(),
    }
    limits = {
        "max_connections": MAX_ACTIVATED,
        "max_pending_requests": MAX_ACTIVATED,
        "max_requests": MAX_ACTIVATED,
    }
    pipe = {"endpoint": {"address": {"pipe": {"path": str(place.activator)}}}}
    message = parse(
        CLUSTER,
        {
            "name": ACTIVATOR,
            "type": "STATIC",
            "connect_timeout": "2s",
            "per_connection_buffer_limit_bytes": bounds.MACHINE_BUFFER,
            "load_assignment": {"cluster_name": ACTIVATOR, "endpoints": [{"lb_endpoints": [pipe]}]},
            "circuit_breakers": {"thresholds": [limits]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        },
    )
    return resource(ACTIVATOR, message)


def _http_filters(room: int, first: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the filters of requests; `first` are further ones between Envoy and machines."""
    router = {
        "@type": f"{_EXTENSIONS}filters.http.router.v3.Router",
        "suppress_envoy_headers": True,
        "dynamic_stats": False,  # counts by status and app, which nobody reads and bootstrap.py does not keep
        "upstream_http_filters": [*first, *hooks_of_machines()],
    }
    last = {"name": "envoy.filters.http.router", "typed_config": router}
    return [*compressors(), *bodies.filters(room), *admission.filters(), last]


def connection_manager(place: EdgePlace, port: int, *, secure: bool, public: bool = True) -> dict[str, Any]:
    """Return the filter that speaks HTTP with clients of a port; what is not `public` refuses nothing by itself."""
    by_address, proxies = (place.by_address, place.proxies) if public else (None, ())
    return {
        "@type": f"{_EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": ADS},
        "http_filters": [*limits.filters(), *_http_filters(place.bodies_room)],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "server_name": "roost",
        "via": "1.1 roost",
        **_client_address(proxies),
        "skip_xff_append": True,  # done before: Envoy would write its own address for a client on this host
        # No address may set Envoy's own control headers. An empty list would mean all private ones.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "proxy_100_continue": True,  # and 103: what an app says beforehand is passed on, the first of it
        "generate_request_id": False,  # `early_headers` does
        "normalize_path": True,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "strip_trailing_host_dot": True,
        **bounds.of_connection(),
        "delayed_close_timeout": "1s",
        "drain_timeout": "5s",
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "unknown.invalid"},
        "early_header_mutation_extensions": [
            early_headers(port, place.region, limits.by_address(by_address), proxies, secure=secure, public=public)
        ],
        "local_reply_config": local_reply_config(),
        "access_log": [access_logger(place.log)],
    }


def _client_address(proxies: Sequence[str]) -> dict[str, Any]:
    """Return who the client is for Envoy: the peer; or with proxies before the edge, whom `early_headers` tells of."""
    if not proxies:
        return {"use_remote_address": True}  # X-Forwarded-For is appended to, never believed
    kind = f"{_EXTENSIONS}http.original_ip_detection.custom_header.v3.CustomHeaderConfig"
    told = {"@type": kind, "header_name": "fly-client-ip"}
    return {"original_ip_detection_extensions": [{"name": "client", "typed_config": told}]}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
