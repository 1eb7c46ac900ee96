"""The keys of `roost.toml` and `fly.toml`: which work, which are known and do nothing yet. Pure data.

A key that is in neither list is a mistake of the writer; `nearest` finds what was probably meant.
Paths name tables without indexes: `services.ports` is any element of `[[services.ports]]`.
"""

from __future__ import annotations

from difflib import get_close_matches
from types import MappingProxyType

_CHECK = frozenset(["type", "port", "interval", "timeout", "grace_period", "method", "path", "headers"])
_CHECK_LATER = frozenset(["protocol", "tls_skip_verify", "tls_server_name", "kind", "name"])
_AUTOMATIC = frozenset(
    ["auto_stop_machines", "auto_start_machines", "min_machines_running", "auto_stop_after", "processes"]
)

WORKING = MappingProxyType(
    {
        "": frozenset(
            [
                "app",
                "primary_region",
                "kill_signal",
                "kill_timeout",
                "build",
                "deploy",
                "env",
                "processes",
                "http_service",
                "services",
                "checks",
                "vm",
                "restart",
                "experimental",
                "isolation",
                "mounts",
                "machine_config",
                "container",
            ]
        ),
        "build": frozenset(["image", "dockerfile", "build-target", "builtin", "args"]),
        "deploy": frozenset(["strategy", "wait_timeout", "release_command", "release_command_timeout"]),
        "experimental": frozenset(["cmd", "entrypoint", "exec"]),
        "http_service": _AUTOMATIC | {"internal_port", "force_https", "concurrency", "checks"},
        "services": _AUTOMATIC
        | {"protocol", "internal_port", "concurrency", "ports", "tcp_checks", "http_checks", "force_https"},
        "services.ports": frozenset(["port", "handlers", "force_https"]),
        "concurrency": frozenset(["type", "soft_limit", "hard_limit"]),
        "check": _CHECK,
        "checks": _CHECK | {"processes"},
        "vm": frozenset(["size", "memory", "memory_mb", "cpus", "cpu_kind", "processes"]),
        "restart": frozenset(["policy", "retries", "max_retries", "processes"]),
        "mounts": frozenset(["source", "destination", "initial_size", "processes"]),
    }
)

# Keys of the Fly platform that Roost knows and can't honour yet: a warning, not an error.
LATER = MappingProxyType(
    {
        "": frozenset(
            [
                "swap_size_mb",
                "console_command",
                "host_dedication_id",
                "machine_checks",
                "metrics",
                "statics",
                "files",
            ]
        ),
        "build": frozenset(
            ["builder", "buildpacks", "ignorefile", "settings", "compose", "compression", "compression_level"]
        ),
        "deploy": frozenset(["max_unavailable", "release_command_vm", "seed_command"]),
        "experimental": frozenset(
            ["auto_rollback", "enable_consul", "enable_etcd", "machine_config", "attached", "lazy_load_images"]
        ),
        "http_service": frozenset(["max_machines_running", "tls_options", "http_options", "machine_checks"]),
        "services": frozenset(["max_machines_running", "machine_checks", "script_checks"]),
        "services.ports": frozenset(["start_port", "end_port", "tls_options", "http_options", "proxy_proto_options"]),
        "concurrency": frozenset(),
        "check": _CHECK_LATER,
        "checks": _CHECK_LATER,
        "vm": frozenset(["gpus", "gpu_kind", "kernel_args", "host_dedication_id", "persist_rootfs"]),
        "restart": frozenset(),
        "mounts": frozenset(
            [
                "snapshot_retention",
                "scheduled_snapshots",
                "auto_extend_size_threshold",
                "auto_extend_size_increment",
                "auto_extend_size_limit",
            ]
        ),
    }
)


def nearest(kind: str, key: str) -> str:
    """Return the known key of this kind of table that looks most like `key`, or ""."""
    known = sorted(WORKING[kind] | LATER[kind])
    found = get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return found[0] if found else ""
