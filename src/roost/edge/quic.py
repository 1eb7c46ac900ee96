"""HTTP/3 at the edge: a listener on the https port's UDP side, and the header by which answers tell of it. Pure.

Envoy can't look up certificates on demand for QUIC. So names of the cloud's own domain share a filter chain, as they
share a certificate; every other name has one of its own, once its app was awake and Envoy was given its certificate for
a connection over TCP, whose answer tells of HTTP/3. A chain more or less drains no connection of the others. Its
routes, filters and limits are those of https.

The front before several cells leads TCP only, since a QUIC client says its name in encrypted packets. So each cell has
a UDP port of its own and tells of that one: a client comes by TCP to its host's cell first, and then straight to it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence, Set
from typing import Any

from roost.edge import tls
from roost.edge.protos import LISTENER, Listener, parse, resource

NAME = "http3"
OWN = "own/"  # chains of names with certificates of their own
MOST = 1000  # of them
TOLD_FOR = 86_400  # seconds that a client may remember it
_EXT = "type.googleapis.com/envoy.extensions."


def listener(port: int, domain: str, manager: dict[str, Any], hosts: Sequence[str] = ()) -> Any:
    """Return the listener, with https's connection manager; `hosts` are names with certificates of their own."""
    manager = {
        **manager,
        "codec_type": "HTTP3",
        "http3_protocol_options": {
            "allow_extended_connect": True,  # WebSockets (RFC 9220)
            "quic_protocol_options": {
                "max_concurrent_streams": 100,
                "initial_stream_window_size": 256 * 1024,
                "initial_connection_window_size": 1024 * 1024,
            },
        },
    }
    filters = [{"name": "http", "typed_config": manager}]
    chains = [tls.chain_of_cloud(domain, filters, ("h3",), ("TLSv1.3",))]
    chains += [tls.chain_of_host(f"{OWN}{host}", host, filters, ("h3",), ("TLSv1.3",)) for host in sorted(hosts)]
    message = parse(
        LISTENER,
        {
            "name": NAME,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port, "protocol": "UDP"}},  # noqa: S104
            "udp_listener_config": {"quic_options": {}, "downstream_socket_config": {"prefer_gro": True}},
            "filter_chains": [_by_quic(chain) for chain in chains],
        },
    )
    return resource(NAME, message)


def hosts_of(found: Any) -> frozenset[str]:
    """Return the names with certificates of their own of a listener, a resource."""
    message = Listener()
    found.resource.Unpack(message)
    return frozenset(chain.name.removeprefix(OWN) for chain in message.filter_chains if chain.name.startswith(OWN))


def hosts_with(
    certificates: Container[str], awake: Iterable[str], before: Set[str], unanswered: Set[str]
) -> frozenset[str]:
    """Return the names that are to have chains: apps' that are awake and have certificates, and those from before.

    `certificates` are secrets by name. What is `unanswered` stays, since nobody knows yet.
    """
    kept = [
        host for host in before if host in unanswered or host in certificates or f"{tls.HELD}{host}" in certificates
    ]
    new = [host for host in awake if host not in before and host in certificates]
    return frozenset([*kept, *new][:MOST])


def _by_quic(chain: dict[str, Any]) -> dict[str, Any]:
    context = {key: value for key, value in chain["transport_socket"]["typed_config"].items() if key != "@type"}
    socket = {
        "@type": f"{_EXT}transport_sockets.quic.v3.QuicDownstreamTransport",
        "downstream_tls_context": context,
    }
    kept = {key: chain[key] for key in ("name", "filter_chain_match", "filters")}
    return {**kept, "transport_socket": {"name": "envoy.transport_sockets.quic", "typed_config": socket}}


def told(port: int) -> dict[str, Any]:
    """Return the filter that tells clients of HTTP/3."""
    header = {"key": "alt-svc", "value": f'h3=":{port}"; ma={TOLD_FOR}'}
    mutation = {"append": {"header": header, "append_action": "ADD_IF_ABSENT"}}
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{_EXT}filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": [mutation]},
        },
    }
