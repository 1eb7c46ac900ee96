"""What belongs to machines as JSON: leases, versions, processes, memory, places. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roost.api.shapes import time_to_json
from roost.control.contract import Memory
from roost.host.contract import ProcessInfo
from roost.model.machine_config import machine_config_to_json
from roost.model.machine_version import Lease, MachineVersion
from roost.model.run import Run

Json = dict[str, Any]
SORTS = ("pid", "command", "directory", "cpu", "rss", "rtime", "stime")


def lease_to_json(lease: Lease, *, nonce: bool) -> Json:
    """Return a lease: enveloped, with flat copies (reference, section 1.7). The nonce is for its holder only."""
    flat: Json = {"nonce": lease.nonce} if nonce else {}
    flat |= {
        "expires_at": int(lease.expires_at),
        "owner": lease.owner,
        "description": lease.description,
        "version": lease.version,
    }
    return {"status": "success", "data": dict(flat), "message": "", "code": ""} | flat


def lease_summary_to_json(lease: Lease) -> Json:
    """Return what everybody may know of a lease."""
    return {"owner": lease.owner, "description": lease.description, "expires_at": int(lease.expires_at)}


def version_to_json(version: MachineVersion) -> Json:
    """Return one version of a machine's configuration."""
    return {"version": version.instance_id, "user_config": machine_config_to_json(version.config)}


def process_to_json(process: ProcessInfo) -> Json:
    """Return a process: `rss` in bytes; `cpu`, `stime` (in the kernel), `rtime` (since its start) in ms."""
    return {
        "pid": process.pid,
        "command": process.command,
        "directory": process.directory,
        "cpu": round(process.cpu_seconds * 1000),
        "rss": process.rss_bytes,
        "rtime": round(process.running_seconds * 1000),
        "stime": round(process.system_seconds * 1000),
        "listen_sockets": [{"proto": socket.protocol, "address": socket.address} for socket in process.listening],
    }


def processes_to_json(processes: Sequence[ProcessInfo], sort_by: str, order: str) -> list[Json]:
    """Return processes in order; by pid unless told."""
    shown = [process_to_json(process) for process in processes]
    return sorted(shown, key=lambda process: (process[sort_by], process["pid"]), reverse=order == "desc")


def run_to_json(run: Run) -> Json:
    """Return a run of a scheduled machine; what there is not is null."""
    return {
        "id": run.id,
        "machine_id": run.machine_id,
        "instance_id": run.instance_id,
        "state": str(run.state),
        "trigger": str(run.trigger),
        "scheduled_at": time_to_json(run.scheduled_at) or None,
        "missed": run.missed,
        "started_at": time_to_json(run.started_at) or None,
        "ended_at": time_to_json(run.ended_at) or None,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "oom": run.oom,
        "reason": run.reason,
    }


def memory_to_json(memory: Memory) -> Json:
    """Return a machine's memory."""
    return {"limit_mb": memory.limit_mb, "available_mb": memory.available_mb}


def regions_to_json(region: str) -> Json:
    """Return the one region, under both spellings of the keys (reference, section 1.7)."""
    regions = [
        {
            "code": region,
            "name": region,
            "latitude": 0.0,
            "longitude": 0.0,
            "gateway_available": False,
            "requires_paid_plan": False,
            "geo_region": "",
            "deprecated": False,
            "mpg_available": False,
        }
    ]
    return {"nearest": region, "regions": regions, "Nearest": region, "Regions": regions}
