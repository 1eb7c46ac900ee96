"""`[[vm]]` and `[[restart]]` of `roost.toml`: read, and written again. Pure."""

from __future__ import annotations

import re
from typing import Any

from roost.model.app_config_table import Table
from roost.model.guest_config import MAX_CPUS, MIN_MEMORY_MB, PERSIST
from roost.model.machine_config import Guest, Restart

Groups = tuple[str, ...]
_SIZE = re.compile(r"(shared|performance)(?:-cpu)?-(\d{1,3})x")
_MEMORY = re.compile(r"(\d{1,9})\s*(kb|mb|gb|k|m|g|kib|mib|gib)?", re.IGNORECASE)


def read_guest(table: Table) -> tuple[Groups, Guest]:
    """Read one of `[[vm]]`: the groups it is for (none: all), and the size; raises BadInput."""
    size = table.text("size", "shared-cpu-1x")
    match = _SIZE.fullmatch(size)
    if not match:
        raise table.refuse("size", f"{size[:40]!r} is not a machine size", "use a size like shared-cpu-1x")
    kind = table.text("cpu_kind", match[1], among=("shared", "performance"))
    cpus = table.number("cpus", int(match[2]), 1, MAX_CPUS)
    memory = _read_memory(table, (256 if kind == "shared" else 2048) * cpus)
    persist = table.text("persist_rootfs", "never", among=PERSIST)
    groups = table.words("processes")
    table.done()
    return groups, Guest(kind, cpus, memory, persist_rootfs=persist)


def read_guests(top: Table) -> dict[str, Guest]:
    """Read `[[vm]]`, by process group; raises BadInput."""
    found = [read_guest(table) for table in top.tables("vm", "vm")]
    return {group: guest for groups, guest in found for group in groups or ("",)}


def guest_to_json(groups: Groups, guest: Guest) -> dict[str, Any]:
    """Return what `read_guest` reads."""
    out: dict[str, Any] = {"cpu_kind": guest.cpu_kind, "cpus": guest.cpus, "memory": f"{guest.memory_mb}mb"}
    if guest.persist_rootfs != "never":
        out["persist_rootfs"] = guest.persist_rootfs
    return out | ({"processes": list(groups)} if groups else {})


def _read_memory(table: Table, default: int) -> int:
    """Read `memory` ("512mb", "2gb", or megabytes) or `memory_mb`; returns megabytes."""
    key = "memory_mb"
    value = table.take("memory_mb")
    other = table.take("memory")
    if other is not None:
        key, value = "memory", other
    if value is None:
        return default
    match = _MEMORY.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
    if isinstance(value, bool) or not match:
        raise table.refuse(key, "must be an amount of memory like '512mb' or '2gb'")
    factor = {"k": 1 / 1024, "g": 1024}.get((match[2] or "m")[0].lower(), 1)
    megabytes = int(int(match[1]) * factor)
    if not MIN_MEMORY_MB <= megabytes <= 4_194_304:
        raise table.refuse(key, f"must be at least {MIN_MEMORY_MB} MB")
    return megabytes


def read_restarts(top: Table) -> dict[str, Restart]:
    """Read `[[restart]]`, by process group; raises BadInput."""
    restarts = {}
    for table in top.tables("restart", "restart"):
        policy = table.text("policy", "on-failure", among=("always", "never", "no", "on-failure"))
        tries = table.number("retries", table.number("max_retries", 10, 0, 1_000_000), 0, 1_000_000)
        for group in table.words("processes") or ("",):
            restarts[group] = Restart("no" if policy == "never" else policy, tries)
        table.done()
    return restarts
