"""HTTP/3 at the edge: a listener on the https port's UDP side, and the header by which answers tell of it. Pure.

For names of the cloud's own domain, which share a certificate: Envoy can't look up certificates on demand for QUIC. And
only where the edge is one cell: the front before several leads TCP. Its routes, filters and limits are those of https.
"""

from __future__ import annotations

from typing import Any

from roost.edge import tls
from roost.edge.protos import LISTENER, parse, resource

NAME = "http3"
TOLD_FOR = 86_400  # seconds that a client may remember it
_EXT = "type.googleapis.com/envoy.extensions."


def listener(port: int, domain: str, manager: dict[str, Any]) -> Any:
    """Return the listener, with https's connection manager."""
    manager = {
        **manager,
        "codec_type": "HTTP3",
        "http3_protocol_options": {
            "quic_protocol_options": {
                "max_concurrent_streams": 100,
                "initial_stream_window_size": 256 * 1024,
                "initial_connection_window_size": 1024 * 1024,
            }
        },
    }
    chain = tls.chain_of_cloud(domain, [{"name": "http", "typed_config": manager}], ("h3",), ("TLSv1.3",))
    message = parse(
        LISTENER,
        {
            "name": NAME,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port, "protocol": "UDP"}},  # noqa: S104
            "udp_listener_config": {"quic_options": {}, "downstream_socket_config": {"prefer_gro": True}},
            "filter_chains": [_by_quic(chain)],
        },
    )
    return resource(NAME, message)


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
