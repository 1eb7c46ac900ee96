"""A public port that is one app's own, as Envoy takes it: a listener and a cluster. Pure.

The listener never changes with what the app does, since a change would break its connections. Its cluster, `port/...`,
leads to the machines of an app that is awake, and to a door in roostd (port_door.py) while it sleeps. There Envoy wants
TLS, which the door never answers: so a connection counts as not made, the client's bytes stay with Envoy, and when the
door hangs up Envoy tries again, on what the cluster is by then. Nothing passes through roostd.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.edge import bounds, tls
from roost.edge.contract import PublicPort
from roost.edge.listener import EdgePlace
from roost.edge.native_module import access_logger
from roost.edge.port_door import MAX_WAITING
from roost.edge.protos import CLUSTER, LISTENER, parse, resource

PREFIX = "port/"  # of listeners and clusters
UDP_IDLE = "30s"  # of a client's session; it keeps the app awake
CONNECT_TIMEOUT = "5s"
WAKE_TIMEOUT = "90s"  # longer than control's own deadline for a wake
ATTEMPTS = 8  # to connect: the first may be at the door, and a worker may learn late that the app is awake
_EXT = "type.googleapis.com/envoy.extensions."


def port_name(port: PublicPort) -> str:
    """Return the name of a port's listener and cluster."""
    return f"{PREFIX}{port.protocol}/{port.port}/{port.app}"


def app_of_port(name: str) -> str:
    """Return the app of a port's cluster; "" if it is no port's."""
    return name.rpartition("/")[2] if name.startswith(PREFIX) else ""


def port_listener(port: PublicPort, place: EdgePlace) -> Any:
    """Return the listener of a port. Ends of connections go to the place's log, as requests do."""
    if port.protocol == "udp":
        return _udp_listener(port, as_client=place.udp_as_client)
    return listener_message(port, _chains(port, place), bounds.of_patient_socket(), bounds.PORT_CLIENT_BUFFER)


def listener_message(port: PublicPort, chains: list[dict[str, Any]], options: list[dict[str, Any]], buffer: int) -> Any:
    """Return the listener of a TCP port with these filter chains, socket options and bytes held for a client."""
    name = port_name(port)
    secure = "tls" in port.handlers
    message = parse(
        LISTENER,
        {
            "name": name,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port.port}},  # noqa: S104
            "socket_options": options,
            "per_connection_buffer_limit_bytes": buffer,
            "listener_filters": [tls.inspector()] if secure else [],
            "filter_chains": chains,
        },
    )
    return resource(name, message)


def chain_by_name(port: PublicPort, log: Path) -> dict[str, Any]:
    """Return the filter chain of the https listener by which an app's names are passed on unopened."""
    name = port_name(port)
    match = {"server_names": sorted(port.hosts), "transport_protocol": "tls"}
    return {"name": name, "filter_chain_match": match, "filters": [tcp_proxy(name, log)]}


def _udp_listener(port: PublicPort, *, as_client: bool) -> Any:
    """Return the listener of a UDP port: what one client address sends goes to one machine, until it is silent.

    `as_client`: the machine sees the client's address, but a port of Envoy's.
    """
    name = port_name(port)
    route = {"@type": f"{_EXT}filters.udp.udp_proxy.v3.Route", "cluster": name}
    proxy = {
        "@type": f"{_EXT}filters.udp.udp_proxy.v3.UdpProxyConfig",
        "stat_prefix": name,
        "idle_timeout": UDP_IDLE,
        "use_original_src_ip": as_client,
        "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": route}}},
    }
    address = {"address": "0.0.0.0", "port_value": port.port, "protocol": "UDP"}  # noqa: S104
    message = parse(
        LISTENER,
        {
            "name": name,
            "address": {"socket_address": address},
            "udp_listener_config": {},
            "listener_filters": [{"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}],
        },
    )
    return resource(name, message)


def _chains(port: PublicPort, place: EdgePlace) -> list[dict[str, Any]]:
    filters = [tcp_proxy(port_name(port), place.log, secure="tls" in port.handlers)]
    versions = port.tls.versions or tls.VERSIONS
    if "tls" in port.handlers:
        return tls.chains_by_name(place.domain, filters, port.tls.alpn, versions, shared=place.shared)
    return [{"filters": filters}]


def tcp_proxy(cluster: str, log: Path, *, secure: bool = False) -> dict[str, Any]:
    """Return the filter that leads a connection to a port's cluster.

    `secure`: by TLS, that ends here. Who has not ended the greeting reaches no machine yet, and wakes none.
    """
    proxy: dict[str, Any] = {
        "@type": f"{_EXT}filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "ports",
        "cluster": cluster,
        "idle_timeout": "0s",  # a connection may be silent for ever; keep-alive tells if its other end is there
        "max_connect_attempts": ATTEMPTS,
        "backoff_options": {"base_interval": "0.02s", "max_interval": "0.5s"},
        "access_log": [access_logger(log)],
    }
    if secure:
        proxy |= {
            "upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE",
            "max_early_data_bytes": bounds.PORT_MACHINE_BUFFER,  # that a client has said when there is a machine
        }
    return {"name": "tcp", "typed_config": proxy}


def port_cluster(port: PublicPort, door: Path | int, most: int) -> Any:
    """Return the cluster of a port: the app's machines or, when none is awake, the door (of UDP: a loopback port).

    `most`: connections, or sessions, that the port may have.
    """
    name = port_name(port)
    keepalive = {"keepalive_time": 60, "keepalive_interval": 15, "keepalive_probes": 4}
    found: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": CONNECT_TIMEOUT,
        "per_connection_buffer_limit_bytes": bounds.PORT_MACHINE_BUFFER,
        "upstream_connection_options": {"tcp_keepalive": keepalive},
        "circuit_breakers": {"thresholds": [_limits(port, most)]},
    }
    if port.endpoints:
        places: list[dict[str, Any]] = [
            {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}
            for endpoint in sorted(port.endpoints, key=lambda e: (e.address, e.port))
        ]
        if "proxy_proto" in port.handlers:
            found["transport_socket"] = _proxy_protocol(port.proxy_version or "v1")
    elif isinstance(door, int):
        places = [{"socket_address": {"address": "127.0.0.1", "port_value": door}}]
    else:
        places = [{"pipe": {"path": str(door)}}]
        found["connect_timeout"] = WAKE_TIMEOUT
        found["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": f"{_EXT}transport_sockets.tls.v3.UpstreamTlsContext"},
        }
    ends = [{"endpoint": {"address": place}} for place in places]
    found["load_assignment"] = {"cluster_name": name, "endpoints": [{"lb_endpoints": ends}]}
    return resource(name, parse(CLUSTER, found))


def _proxy_protocol(version: str) -> dict[str, Any]:
    """Return the transport socket that tells the app the client's address first."""
    sockets = f"{_EXT}transport_sockets"
    return {
        "name": "envoy.transport_sockets.upstream_proxy_protocol",
        "typed_config": {
            "@type": f"{sockets}.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": version.upper()},
            "transport_socket": {
                "name": "envoy.transport_sockets.raw_buffer",
                "typed_config": {"@type": f"{sockets}.raw_buffer.v3.RawBuffer"},
            },
        },
    }


def _limits(port: PublicPort, most: int) -> dict[str, int]:
    """Return how many connections there may be. Those beyond are closed by Envoy, and no others suffer.

    The door must refuse none: as soon as one connection to a place fails, Envoy gives up all that wait for that place.
    """
    found = min(most, port.hard_limit * len(port.endpoints) or most)
    if not port.endpoints and port.protocol != "udp":
        found = min(most, MAX_WAITING)
    return {"max_connections": found, "max_pending_requests": found, "max_requests": found}
