"""What an app asks of HTTP at the edge: compressed answers, headers of answers, HTTP/2 to its machines. Pure.

Every connection manager has the compressors, switched off; an app's virtual host switches them on. One that is off is
not made for a request, so it costs the others nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.edge.contract import Route
from roost.edge.protos import (
    CompressorPerRoute,
    FilterConfig,
    HeaderValueOption,
    HttpProtocolOptions,
    UpstreamTlsContext,
    any_of,
)

SMALLEST = 256  # bytes of an answer that is worth it
WAKE_TIMEOUT = 90  # seconds at the door, longer than control's own deadline for a wake
_EXT = "type.googleapis.com/envoy.extensions."
# Types of answers that are worth it: Envoy takes no patterns. What comes as it happens (text/event-stream) is not one.
_TYPES = (
    *(f"text/{kind}" for kind in ("css", "csv", "html", "javascript", "markdown", "plain", "xml")),
    *(f"application/{kind}" for kind in ("graphql", "javascript", "json", "wasm", "x-javascript", "xhtml+xml", "xml")),
    *(
        f"application/{kind}+json"
        for kind in ("activity", "fhir", "geo", "graphql-response", "hal", "ld", "manifest", "problem", "vnd.api")
    ),
    *(f"application/{kind}+xml" for kind in ("atom", "problem", "rss", "soap")),
    *("font/otf", "font/ttf", "application/vnd.ms-fontobject", "image/bmp", "image/svg+xml", "image/x-icon"),
)
# In the order of preference where a client takes several: the last one is the first to see an answer.
_LIBRARIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gzip", "Gzip", {"compression_level": "COMPRESSION_LEVEL_5"}),
    ("brotli", "Brotli", {"quality": 4, "window_bits": 18}),
    ("zstd", "Zstd", {"compression_level": 3}),
)


def _filter_name(library: str) -> str:
    return f"compress-{library}"


def compressors() -> list[dict[str, Any]]:
    """Return the filters that compress answers, switched off."""
    return [
        {
            "name": _filter_name(library),
            "disabled": True,
            "typed_config": {
                "@type": f"{_EXT}filters.http.compressor.v3.Compressor",
                "response_direction_config": {
                    "common_config": {"min_content_length": SMALLEST, "content_type": _TYPES}
                },
                "choose_first": library != "gzip",
                "compressor_library": {
                    "name": library,
                    "typed_config": {"@type": f"{_EXT}compression.{library}.compressor.v3.{kind}", **options},
                },
            },
        }
        for library, kind, options in _LIBRARIES
    ]


def apply_to_host(host: Any, route: Route) -> None:
    """Have a virtual host do what its app asks for."""
    if route.http.compress:
        on = CompressorPerRoute()
        on.overrides.response_direction_config.SetInParent()
        for library, _, _ in _LIBRARIES:
            host.typed_per_filter_config[_filter_name(library)].CopyFrom(any_of(FilterConfig(config=any_of(on))))
    for name, values in route.http.headers:
        host.response_headers_to_remove.append(name)
        for value in values:
            option = host.response_headers_to_add.add(append_action=HeaderValueOption.APPEND_IF_EXISTS_OR_ADD)
            option.header.key, option.header.value = name, value.replace("%", "%%")


def speak(protocol: HttpProtocolOptions, route: Route) -> None:
    """Choose the protocol to the machines."""
    if route.http.h2_backend:
        protocol.explicit_http_config.http2_protocol_options.SetInParent()
    else:
        protocol.explicit_http_config.http_protocol_options.SetInParent()


def lead_to_door(cluster: Any, door: Path) -> None:
    """Let a cluster lead to the door of an app that sleeps, where Envoy's wish for TLS is never answered."""
    cluster.connect_timeout.FromSeconds(WAKE_TIMEOUT)
    cluster.load_assignment.endpoints[0].lb_endpoints.add().endpoint.address.pipe.path = str(door)
    cluster.transport_socket.name = "envoy.transport_sockets.tls"
    cluster.transport_socket.typed_config.CopyFrom(any_of(UpstreamTlsContext()))
