"""Envoy's API as protobuf: the one place that imports the generated messages and the gRPC library.

It owns no state. The generated code carries no types, so every message is `Any` to the type checker;
the modules that use it keep messages inside and hand out values of their own.
"""

from __future__ import annotations

import hashlib
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from envoy.config.cluster.v3.cluster_pb2 import Cluster  # type: ignore[import-untyped]
from envoy.config.core.v3.base_pb2 import HeaderValueOption  # type: ignore[import-untyped]
from envoy.config.listener.v3.listener_pb2 import Listener  # type: ignore[import-untyped]
from envoy.config.route.v3.route_components_pb2 import FilterConfig, Route, VirtualHost  # type: ignore[import-untyped]
from envoy.config.route.v3.route_pb2 import RouteConfiguration  # type: ignore[import-untyped]
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.compression.brotli.compressor.v3 import brotli_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.compression.gzip.compressor.v3 import gzip_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.compression.zstd.compressor.v3 import zstd_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.filters.http.compressor.v3.compressor_pb2 import (  # type: ignore[import-untyped]
    CompressorPerRoute,
)
from envoy.extensions.filters.http.dynamic_modules.v3.dynamic_modules_pb2 import (  # type: ignore[import-untyped]
    DynamicModuleFilterPerRoute,
)
from envoy.extensions.filters.http.header_mutation.v3 import (  # type: ignore[import-untyped]
    header_mutation_pb2 as header_mutation_filter_pb2,  # noqa: F401
)
from envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (  # type: ignore[import-untyped]
    LocalRateLimit,
)
from envoy.extensions.filters.http.lua.v3 import lua_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.filters.http.upstream_codec.v3 import (  # type: ignore[import-untyped]
    upstream_codec_pb2,  # noqa: F401
)
from envoy.extensions.filters.listener.original_dst.v3 import (  # type: ignore[import-untyped]
    original_dst_pb2,  # noqa: F401
)
from envoy.extensions.filters.listener.proxy_protocol.v3 import (  # type: ignore[import-untyped]
    proxy_protocol_pb2,  # noqa: F401
)
from envoy.extensions.filters.listener.tls_inspector.v3 import (  # type: ignore[import-untyped]
    tls_inspector_pb2,  # noqa: F401
)
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.filters.network.tcp_proxy.v3 import (  # type: ignore[import-untyped]
    tcp_proxy_pb2,  # noqa: F401
)
from envoy.extensions.filters.udp.udp_proxy.v3 import (  # type: ignore[import-untyped]
    route_pb2 as udp_route_pb2,  # noqa: F401
)
from envoy.extensions.filters.udp.udp_proxy.v3 import udp_proxy_pb2  # noqa: F401
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (  # type: ignore[import-untyped]
    header_mutation_pb2,  # noqa: F401
)
from envoy.extensions.http.original_ip_detection.custom_header.v3 import (  # type: ignore[import-untyped]
    custom_header_pb2,  # noqa: F401
)
from envoy.extensions.matching.common_inputs.network.v3 import (  # type: ignore[import-untyped]
    network_inputs_pb2,  # noqa: F401
)
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (  # type: ignore[import-untyped]
    PreviousHostsPredicate,
)
from envoy.extensions.router.cluster_specifiers.matcher.v3 import (  # type: ignore[import-untyped]
    matcher_pb2,  # noqa: F401
)
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (  # type: ignore[import-untyped]
    upstream_proxy_protocol_pb2,  # noqa: F401
)
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # type: ignore[import-untyped]  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret  # type: ignore[import-untyped]
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext  # type: ignore[import-untyped]
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import (  # type: ignore[import-untyped]
    HttpProtocolOptions,
)
from envoy.service.discovery.v3.ads_pb2_grpc import (  # type: ignore[import-untyped]
    AggregatedDiscoveryServiceServicer,
    AggregatedDiscoveryServiceStub,
    add_AggregatedDiscoveryServiceServicer_to_server,
)
from envoy.service.discovery.v3.discovery_pb2 import (  # type: ignore[import-untyped]
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from envoy.type.matcher.v3 import http_inputs_pb2  # type: ignore[import-untyped]  # noqa: F401
from google.protobuf import any_pb2, json_format
from google.protobuf.wrappers_pb2 import StringValue
from xds.type.v3 import typed_struct_pb2  # type: ignore[import-untyped]  # noqa: F401

__all__ = [
    "CLUSTER",
    "LISTENER",
    "ROUTES",
    "SECRET",
    "VIRTUAL_HOST",
    "AggregatedDiscoveryServiceServicer",
    "AggregatedDiscoveryServiceStub",
    "Cluster",
    "CompressorPerRoute",
    "DeltaDiscoveryRequest",
    "DeltaDiscoveryResponse",
    "DynamicModuleFilterPerRoute",
    "FilterConfig",
    "HeaderValueOption",
    "HttpProtocolOptions",
    "Listener",
    "LocalRateLimit",
    "PreviousHostsPredicate",
    "Resource",
    "Route",
    "RouteConfiguration",
    "StringValue",
    "UpstreamTlsContext",
    "VirtualHost",
    "add_AggregatedDiscoveryServiceServicer_to_server",
    "any_of",
    "any_pb2",
    "grpc",
    "json_format",
    "parse",
    "resource",
]

_PREFIX = "type.googleapis.com/"
CLUSTER = _PREFIX + Cluster.DESCRIPTOR.full_name
LISTENER = _PREFIX + Listener.DESCRIPTOR.full_name
ROUTES = _PREFIX + RouteConfiguration.DESCRIPTOR.full_name
SECRET = _PREFIX + Secret.DESCRIPTOR.full_name
VIRTUAL_HOST = _PREFIX + VirtualHost.DESCRIPTOR.full_name
_MESSAGES = {
    CLUSTER: Cluster,
    LISTENER: Listener,
    ROUTES: RouteConfiguration,
    SECRET: Secret,
    VIRTUAL_HOST: VirtualHost,
}


def parse(type_url: str, value: dict[str, Any]) -> Any:
    """Return the message of one of the types above that `value`, in protobuf's JSON form, spells."""
    return json_format.ParseDict(value, _MESSAGES[type_url]())


def any_of(message: Any) -> Any:
    """Wrap a message so that the same content always gives the same bytes."""
    wrapped = any_pb2.Any()
    wrapped.type_url = _PREFIX + message.DESCRIPTOR.full_name
    wrapped.value = message.SerializeToString(deterministic=True)
    return wrapped


def resource(name: str, message: Any) -> Any:
    """Wrap a message as an xDS resource; its version is a digest of its content, so it survives restarts."""
    wrapped = any_of(message)
    version = hashlib.blake2b(wrapped.value, digest_size=12).hexdigest()
    return Resource(name=name, version=version, resource=wrapped)
