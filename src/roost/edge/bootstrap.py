"""What Envoy is started with: its name, its admin socket, and where roostd's xDS is. Pure.

All the rest comes by ADS, so this file changes only with a new version of Roost. Envoy keeps the
statistics that Roost reads and no others: the full set would cost some 50 KB for every awake app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.edge.bounds import RUNTIME, SILENT_WHEN_SHORT
from roost.edge.listener import LOG

XDS = "roostd"
# When a listener's configuration changes, answers on its old connections say at once that they close; streams and
# WebSockets may go on for so many seconds.
DRAIN_TIME = 3600
# A worker in an endless loop: Envoy ends itself then, and its keeper starts it again. One that sleeps and does not wake
# is found much sooner (`threads`); so long a time is for a worker that has very much to do, or a host that stood still.
ENDLESS = "5s"
SERVING_THREADS = ("envoy", "wrk:")  # how the names begin of the threads that wake ten times a second
# Envoy's allocator has caches for each processor only where it may register restartable sequences itself; since 2.35
# glibc does so first, and then each allocation takes a lock that all threads share.
VARIABLES = ("GLIBC_TUNABLES=glibc.pthread.rseq=0",)


@dataclass(frozen=True, slots=True)
class Caps:
    """What one Envoy may use."""

    connections: int = 20_000  # of clients
    heap_bytes: int = 1 << 30  # at 90 % Envoy gives memory back, at 98 % it refuses requests
    workers: int = 2  # threads that serve

    @property
    def of_port(self) -> int:
        """Connections, or sessions of UDP, that one port of an app may have: others' are left the rest."""
        return self.connections // 2


@dataclass(frozen=True, slots=True)
class EdgeFiles:
    """One Envoy's files below a cloud's run directory."""

    directory: Path

    @property
    def xds(self) -> Path:
        """Socket of roostd's xDS server."""
        return self.directory / "xds.sock"

    @property
    def activator(self) -> Path:
        """Socket of the activator."""
        return self.directory / "activator.sock"

    @property
    def challenges(self) -> Path:
        """Socket where roostd answers TLS-ALPN-01."""
        return self.directory / "challenges.sock"

    @property
    def admin(self) -> Path:
        """Socket of Envoy's admin interface."""
        return self.private / "admin.sock"

    @property
    def private(self) -> Path:
        """The one directory that Envoy itself may write."""
        return self.directory / "envoy"

    @property
    def incoming(self) -> Path:
        """The directory with the sockets on which a cell takes the front's connections."""
        return self.directory / "in"

    @property
    def postgres(self) -> Path:
        """The directory with the socket on which a cell takes connections of the port for Postgres."""
        return self.directory / "pg"

    def door(self, protocol: str, port: int | str) -> Path:
        """Socket on which connections to a public port, or requests of an app, wait for one that sleeps."""
        return self.directory / "doors" / f"{protocol}-{port}.sock"

    @property
    def last_good(self) -> Path:
        """What this Envoy has acknowledged."""
        return self.directory / "last-good"

    @property
    def requests(self) -> Path:
        """The file to which Envoy writes the requests that have ended."""
        return self.directory / LOG

    @property
    def requests_read(self) -> Path:
        """How far that file was read."""
        return self.directory / "requests.read"

    @property
    def bootstrap(self) -> Path:
        """Envoy's configuration file."""
        return self.directory / "envoy.json"

    @property
    def pid(self) -> Path:
        """Envoy's pid and start time."""
        return self.directory / "envoy.pid"


def command(binary: Path, files: EdgeFiles, caps: Caps) -> Sequence[str]:
    """Return Envoy's argument list. Without hot restart it takes no base id, so clouds do not meet."""
    return (
        str(binary),
        "--config-path", str(files.bootstrap),
        "--disable-hot-restart",
        "--concurrency", str(caps.workers),
        "--log-level", "warning",
        "--component-log-level", "misc:error",  # it tells of what is old or new in a configuration, for each route
        "--drain-time-s", str(DRAIN_TIME),
        "--drain-strategy", "immediate",
        "--parent-shutdown-time-s", "10",
    )  # fmt: skip


def bootstrap(node: str, files: EdgeFiles, caps: Caps) -> dict[str, Any]:
    """Return Envoy's bootstrap configuration in JSON form."""
    return {
        "node": {"id": node, "cluster": "roost"},
        "admin": {"address": {"pipe": {"path": str(files.admin), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": XDS,
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
                            },
                        }
                    }
                ],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [_grpc_cluster(XDS, files.xds)]},
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _kept_stats()}}},
        "overload_manager": _overload(caps),
        "watchdogs": {"worker_watchdog": {"kill_timeout": ENDLESS}},
        "layered_runtime": {"layers": [{"name": "roost", "static_layer": RUNTIME}]},
    }


def _grpc_cluster(name: str, socket: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    keepalive = {"interval": "30s", "timeout": "10s"}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            }
        },
    }


def _kept_stats() -> list[dict[str, Any]]:
    suffixes = ("upstream_rq_active", "upstream_rq_pending_active", "upstream_cx_active")
    return [
        *({"suffix": f".{suffix}"} for suffix in suffixes),
        *({"exact": f"http.edge.downstream_rq_{what}"} for what in ("completed", "5xx", "active")),
        {"prefix": "udp."},
        {"prefix": "dynamicmodulescustom."},
        {"prefix": "server."},
        {"prefix": "overload."},
        {"prefix": "control_plane."},
        {"prefix": "cluster_manager."},
        {"prefix": "listener_manager."},
        {"prefix": "filesystem."},
    ]


def _overload(caps: Caps) -> dict[str, Any]:
    monitors = "type.googleapis.com/envoy.extensions.resource_monitors."
    heap = "envoy.resource_monitors.fixed_heap"
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [
            {
                "name": heap,
                "typed_config": {
                    "@type": f"{monitors}fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": caps.heap_bytes,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{monitors}downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": caps.connections,
                },
            },
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 13},  # streams that hold 8 KB or more
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [{"name": heap, "threshold": {"value": value}}],
            }
            for action, value in (("shrink_heap", 0.9), ("stop_accepting_requests", 0.98))
        ]
        + [
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",  # of HTTP/2; the largest first, 50 at a time
                "triggers": [{"name": heap, "scaled": {"scaling_threshold": 0.7, "saturation_threshold": 0.9}}],
            },
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [{"name": heap, "threshold": {"value": 0.8}}],
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
                    "timer_scale_factors": [
                        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": f"{SILENT_WHEN_SHORT:g}s"}
                    ],
                },
            },
        ],
    }
