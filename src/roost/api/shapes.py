"""Nouns as JSON objects: the wire forms of the Fly Machines API and of what Roost adds. Pure.

Keys that the Fly Machines API has and Roost has no value for are left out, never made up. Times are
RFC 3339 in UTC, except an event's `timestamp`, which is Unix milliseconds there.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from roost.control.contract import (
    AppStatus,
    CheckStatus,
    CloudStatus,
    ContainerStatus,
    LogEntry,
    SecretInfo,
    SourceInfo,
)
from roost.host.contract import ExecResult
from roost.model.app import App, Event, Release
from roost.model.app_config_write import app_config_to_json
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput
from roost.model.image import Image, parse_image_ref
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.model.machine_config import machine_config_to_json
from roost.model.operation import Operation, Progress
from roost.model.volume import Snapshot, Usage, Volume

Json = dict[str, Any]


@lru_cache(maxsize=65_536)  # more than the times in a long listing, or none would be found again
def time_to_json(at: float, precision: str = "milliseconds") -> str:
    """Return a Unix time as RFC 3339 in UTC; "" for 0, which means never."""
    if at <= 0:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def app_to_json(
    app: App, machine_count: int, volume_count: int = 0, *, domain: str = "", network_cidr: str = ""
) -> Json:
    """Return an app; `status` is `pending` until it has machines, then `deployed`."""
    return {
        "id": app.id,
        "name": app.name,
        "internal_numeric_id": app.number,
        "network": app.network,
        "status": "deployed" if machine_count else "pending",
        "machine_count": machine_count,
        "volume_count": volume_count,
        "network_cidr": network_cidr,
        "organization": {"name": app.org, "slug": app.org, "internal_numeric_id": org_number(app.org)},
        "cname_target": f"{app.name}.{domain}" if domain else "",
        "app_role": app.role,
        "secrets_version": app.secrets_version,
        "created_at": time_to_json(app.created_at),
    }


def org_number(slug: str) -> int:
    """Return the number that stands for an org on the wire: the same everywhere, and below 2^31."""
    return zlib.crc32(slug.encode()) & 0x7FFFFFFF


def app_status_to_json(status: AppStatus) -> Json:
    """Return an app with its URL, state, the reason for the state, release and machines."""
    return {
        "app": app_to_json(status.app, len(status.machines)),
        "url": status.url,
        "serves": status.serves,
        "state": str(status.state),
        "reason": status.reason,
        "release": release_to_json(status.release) if status.release else None,
        "machines": [
            machine_to_json(machine, summary=True)
            | {"checks": [check_to_json(check) for check in status.checks.get(machine.id, ())]}
            for machine in status.machines
        ],
        "last_request_at": time_to_json(status.last_request_at),
    }


def machine_to_json(
    machine: Machine,
    *,
    events: Sequence[Event] = (),
    checks: Sequence[CheckStatus] = (),
    containers: Sequence[ContainerStatus] = (),
    labels: Mapping[str, str] | None = None,
    summary: bool = False,
) -> Json:
    """Return a machine; `summary` drops config, checks and events (reference, section 1.3)."""
    out: Json = {
        "id": machine.id,
        "name": machine.name,
        "state": str(machine.state),
        "desired_state": str(machine.desired),
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": machine.private_ip,
        "private_ipv4": machine.private_ipv4,
        "image_ref": image_ref_to_json(machine.config.image, machine.image_digest, labels),
        "process_group": machine.process_group,
        "release": machine.release,
        "cordoned": machine.cordoned,
        "restart_count": machine.restarts,
        "last_exit": exit_to_json(machine.last_exit) if machine.last_exit else None,
        "created_at": time_to_json(machine.created_at),
        "updated_at": time_to_json(machine.updated_at),
    }
    if machine.next_run_at is not None:
        out["next_run_at"] = time_to_json(machine.next_run_at)
    if not summary:
        out["config"] = machine_config_to_json(machine.config)
        out["events"] = [event_to_json(event) for event in events]
        out["checks"] = [check_to_json(check) for check in checks]
        out["host_status"] = "ok"
        if containers:
            out["containers"] = [container_to_json(container) for container in containers]
    return out


def container_to_json(container: ContainerStatus) -> Json:
    """Return one of several containers of a machine."""
    return {
        "name": container.name,
        "state": container.state,
        "image": container.image,
        "image_ref": image_ref_to_json(container.image, container.image_digest),
        "restart_count": container.restarts,
        "started_at": time_to_json(container.started_at) if container.started_at else None,
        "last_exit": exit_to_json(container.last_exit) if container.last_exit else None,
    }


def image_ref_to_json(reference: str, digest: str, labels: Mapping[str, str] | None = None) -> Json:
    """Return the parts of an image reference, with the digest that it named when the machine was made.

    `labels` are the image's, where they are known.
    """
    registry, repository, tag = _image_parts(reference)
    out: Json = {"registry": registry, "repository": repository, "tag": tag, "digest": digest}
    if labels is not None:
        out["labels"] = dict(labels)
    return out


@lru_cache(maxsize=1024)
def _image_parts(reference: str) -> tuple[str, str, str]:
    try:
        ref = parse_image_ref(reference)
    except BadInput:
        return "", reference, ""
    return ref.registry, ref.repository, ref.tag or ""


def exit_to_json(info: ExitInfo) -> Json:
    """Return how a machine's main process ended."""
    return {
        "exit_code": info.exit_code,
        "guest_exit_code": info.exit_code,
        "guest_signal": info.signal,
        "signal": info.signal,
        "oom_killed": info.oom_killed,
        "requested_stop": info.requested_stop,
        "exited_at": time_to_json(info.at),
        "message": info.describe(),
    }


def event_to_json(event: Event) -> Json:
    """Return an event; what is known beyond the fixed keys is under `request`."""
    return {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": int(event.at * 1000),
        "request": _request_of(event),
    }


def _request_of(event: Event) -> Json:
    """Return an event's details; how a program ended in all the keys of the API, its time as RFC 3339."""
    ended = event.detail.get("exit_event")
    if not isinstance(ended, dict):
        return dict(event.detail)
    at, signal = ended.get("exited_at"), ended.get("guest_signal", 0)
    told = {
        "guest_exit_code": ended.get("exit_code", 0),
        "signal": signal,
        "exited_at": time_to_json(float(at) if isinstance(at, int | float) and at > 0 else event.at, "microseconds"),
        "error": str(event.detail.get("error", "")),
    }
    return {**event.detail, "exit_event": {**ended, **told}}


def check_to_json(check: CheckStatus) -> Json:
    """Return the latest result of a health check."""
    return {
        "name": check.name,
        "status": check.status,
        "output": check.output,
        "updated_at": time_to_json(check.updated_at) or None,
    }


def started_to_json(machine: Machine, previous: MachineState) -> Json:
    """Return the answer to `start`: the union of what the API's documents and clients name (section 1.7)."""
    return {
        "ok": True,
        "previous_state": str(previous),
        "state": str(machine.state),
        "status": "success",
        "message": f"machine {machine.id} is {machine.state}",
        "migrated": False,
        "new_host": "",
    }


def exec_to_json(result: ExecResult) -> Json:
    """Return what a command gave; bytes that are no UTF-8 show as U+FFFD."""
    return {
        "exit_code": result.exit_code,
        "exit_signal": result.exit_signal,
        "stdout": result.stdout.decode("utf-8", "replace"),
        "stderr": result.stderr.decode("utf-8", "replace"),
    }


def release_to_json(release: Release) -> Json:
    """Return a release with its configuration."""
    return {
        "app": release.app,
        "version": release.version,
        "image": release.image_reference,
        "image_digest": release.image_digest,
        "status": str(release.state),
        "reason": release.reason,
        "processes": dict(release.processes),
        "created_at": time_to_json(release.created_at),
        "config": app_config_to_json(release.config),
    }


def volume_to_json(volume: Volume, usage: Usage | None = None) -> Json:
    """Return a volume, and how full it is where that was asked for."""
    out: Json = {
        "id": volume.id,
        "name": volume.name,
        "state": str(volume.state),
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": volume.region,
        "encrypted": False,
        "attached_machine_id": volume.attached_machine_id or None,
        "attached_alloc_id": None,
        "created_at": time_to_json(volume.created_at),
        "updated_at": time_to_json(volume.updated_at or volume.created_at),
        "host_dedication_id": "",
        "fstype": "ext4",
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled,
        "host_status": "ok",
        "type": "local",
    }
    if usage is not None:
        out |= {
            "blocks": usage.blocks,
            "block_size": usage.block_size,
            "blocks_free": usage.blocks_free,
            "blocks_avail": usage.blocks_avail,
            "bytes_used": usage.bytes_used,
            "bytes_total": usage.bytes_total,
        }
    return out


def snapshot_to_json(snapshot: Snapshot) -> Json:
    """Return a snapshot. `digest` is a name for what it holds, not computed from it."""
    return {
        "id": snapshot.id,
        "volume_id": snapshot.volume_id,
        "size": snapshot.size,
        "volume_size": snapshot.volume_size,
        "digest": snapshot.id,
        "status": str(snapshot.state),
        "retention_days": snapshot.retention_days,
        "created_at": time_to_json(snapshot.created_at),
    }


def secret_to_json(secret: SecretInfo) -> Json:
    """Return a secret's name and digest; the value has no way out."""
    return {
        "name": secret.name,
        "digest": secret.digest,
        "created_at": time_to_json(secret.created_at),
        "updated_at": time_to_json(secret.updated_at),
    }


def log_to_json(entry: LogEntry) -> Json:
    """Return one log line."""
    return {
        "timestamp": time_to_json(entry.at),
        "machine": entry.machine_id,
        "stream": entry.stream,
        "message": entry.text,
        "source": entry.source,
    } | ({"container": entry.container} if entry.container else {})


def operation_to_json(operation: Operation) -> Json:
    """Return an operation."""
    return asdict(operation) | {
        "state": str(operation.state),
        "steps": list(operation.steps),
        "created_at": time_to_json(operation.created_at),
        "updated_at": time_to_json(operation.updated_at),
    }


def progress_to_json(progress: Progress) -> Json:
    """Return one line of an operation's story."""
    return {
        "number": progress.number,
        "kind": progress.kind,
        "step": progress.step,
        "text": progress.text,
        "timestamp": time_to_json(progress.at),
    }


def image_to_json(image: Image) -> Json:
    """Return an image and how it runs."""
    return {
        "digest": image.digest,
        "reference": image.reference,
        "size_bytes": image.size_bytes,
        "layers": list(image.layers),
        "created_at": time_to_json(image.created_at),
        "config": {
            "entrypoint": list(image.config.entrypoint),
            "cmd": list(image.config.cmd),
            "workdir": image.config.workdir,
            "user": image.config.user,
            "exposed_ports": list(image.config.exposed_ports),
            "stop_signal": image.config.stop_signal,
            "labels": dict(image.config.labels),
        },
    }


def source_to_json(source: SourceInfo) -> Json:
    """Return a received source."""
    return {"id": source.id, "bytes": source.bytes, "files": source.files}


def build_plan_to_json(plan: BuildPlan) -> Json:
    """Return what was detected in a source directory."""
    return asdict(plan)


def cloud_to_json(status: CloudStatus) -> Json:
    """Return the cloud as a whole."""
    edge = status.edge
    return {
        "id": status.id,
        "version": status.version,
        "domain": status.domain,
        "http_port": status.http_port,
        "https_port": status.https_port,
        "api_port": status.api_port,
        "pid": status.pid,
        "started_at": time_to_json(status.started_at),
        "edge": {
            "pid": edge.pid,
            "connected": edge.connected,
            "routes": edge.routes,
            "rejected": edge.rejected,
            "detail": edge.detail,
        },
        "pool": {"used_bytes": status.pool_used, "total_bytes": status.pool_total},
        "apps": status.apps,
        "machines": dict(status.machines_by_state),
    }
