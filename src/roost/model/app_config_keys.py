"""The keys of `roost.toml` and `fly.toml`: which work, and which have no effect and why. Pure data.

A key that is in neither list is a mistake of the writer; `nearest` finds what was probably meant.
Paths name tables without indexes: `services.ports` is any element of `[[services.ports]]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

_CHECK = frozenset(
    {"type", "port", "interval", "timeout", "grace_period", "method", "path", "headers", "kind", "protocol"}
    | {"tls_skip_verify", "tls_server_name"}
)
_AUTOMATIC = frozenset(
    {"auto_stop_machines", "auto_start_machines", "min_machines_running", "auto_stop_after", "processes"}
    | {"machine_checks", "rate_limit"}
)

WORKING = MappingProxyType(
    {
        "": frozenset(
            {"app", "primary_region", "kill_signal", "kill_timeout", "build", "deploy", "env", "processes"}
            | {"http_service", "services", "checks", "vm", "restart", "experimental", "isolation", "mounts"}
            | {
                "machine_config",
                "container",
                "swap_size_mb",
                "console_command",
                "files",
                "machine_checks",
                "metrics",
                "schedules",
                "statics",
                "autoscale",
            }
        ),
        "build": frozenset(["image", "dockerfile", "build-target", "builtin", "ignorefile", "args"]),
        "deploy": frozenset(
            {"strategy", "wait_timeout", "release_command", "release_command_timeout", "release_command_vm"}
            | {"seed_command", "max_unavailable"}
        ),
        "experimental": frozenset(["cmd", "entrypoint", "exec", "machine_config", "auto_rollback"]),
        "http_service": _AUTOMATIC
        | {"internal_port", "force_https", "concurrency", "checks", "http_options", "tls_options"},
        "services": _AUTOMATIC
        | {"protocol", "internal_port", "concurrency", "ports", "tcp_checks", "http_checks", "force_https"},
        "services.ports": frozenset(
            {"port", "start_port", "end_port", "handlers", "force_https"}
            | {"http_options", "tls_options", "proxy_proto_options"}
        ),
        "http_options": frozenset(
            ["replay_cache", "compress", "idle_timeout", "h2_backend", "response", "headers_read_timeout"]
        ),
        "replay_cache": frozenset(["path_prefix", "ttl_seconds", "type", "name", "allow_bypass"]),
        "concurrency": frozenset(["type", "soft_limit", "hard_limit"]),
        "rate_limit": frozenset(["per_second", "burst", "address_per_second", "address_burst"]),
        "check": _CHECK,
        "checks": _CHECK | {"processes"},
        "machine_checks": frozenset(["image", "command", "entrypoint", "kill_signal", "kill_timeout", "processes"]),
        "vm": frozenset(["size", "memory", "memory_mb", "cpus", "cpu_kind", "persist_rootfs", "processes"]),
        "restart": frozenset(["policy", "retries", "max_retries", "processes"]),
        "schedules": frozenset(["schedule", "timezone", "processes"]),
        "autoscale": frozenset(
            {"processes", "min", "max", "concurrency", "metrics", "up_after", "down_after", "up_step", "down_step"}
            | {"drain_timeout", "remove"}
        ),
        "autoscale.metrics": frozenset(["name", "target", "aggregate", "of", "labels"]),
        "mounts": frozenset(
            {"source", "destination", "initial_size", "processes", "snapshot_retention", "scheduled_snapshots"}
            | {"auto_extend_size_threshold", "auto_extend_size_increment", "auto_extend_size_limit"}
        ),
        "metrics": frozenset(["port", "path", "https", "processes"]),
        "statics": frozenset(["guest_path", "url_prefix", "index_document", "tigris_bucket"]),
        "files": frozenset(["guest_path", "local_path", "raw_value", "secret_name", "mode", "processes"]),
    }
)

_GPU = "machines have no GPU"
_OWN = "the server is yours"
_NO_BUILDER = "buildpacks and their builders come from other companies; the stack is detected, or use a Dockerfile"
_NO_PUSH = "images stay on this server, nothing is packed and sent"
_NO_MAXIMUM = "it is deprecated; `roost scale count` or [[autoscale]] says how many there are"

# Keys of the Fly platform that have no effect, and why: a warning, not an error.
LATER: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "": {
            "host_dedication_id": _OWN,
        },
        "build": {
            "builder": _NO_BUILDER,
            "buildpacks": _NO_BUILDER,
            "settings": "they are for the builtins of another company; [processes] sets the commands",
            "compose": "list the containers in machine_config",
            "compression": _NO_PUSH,
            "compression_level": _NO_PUSH,
        },
        "deploy": {},
        "experimental": {
            "enable_consul": "there is no Consul here",
            "enable_etcd": "there is no etcd here",
            "attached": "secrets of other apps are not exported: roost secrets set",
            "lazy_load_images": "layers are on this server already",
        },
        "http_service": {
            "max_machines_running": _NO_MAXIMUM,
        },
        "services": {
            "max_machines_running": _NO_MAXIMUM,
            "script_checks": "scripts are not run for checks: use http_checks, or machine_checks",
        },
        "services.ports": {},
        "http_options": {},
        "replay_cache": {},
        "concurrency": {},
        "rate_limit": {},
        "check": {"name": "checks of a service are named by their ports"},
        "checks": {"name": "it is in the table's own name"},
        "machine_checks": {},
        "vm": {
            "gpus": _GPU,
            "gpu_kind": _GPU,
            "kernel_args": "machines share the server's kernel",
            "host_dedication_id": _OWN,
        },
        "restart": {},
        "schedules": {},
        "autoscale": {},
        "autoscale.metrics": {},
        "mounts": {},
        "files": {},
        "metrics": {},
        "statics": {},
    }
)


def nearest(kind: str, key: str) -> str:
    """Return the known key of this kind of table that looks most like `key`, or ""."""
    known = sorted({*WORKING[kind], *LATER[kind]})
    found = get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return found[0] if found else ""
