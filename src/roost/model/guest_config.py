"""What a machine may use: `guest` of its configuration, and the names of sizes. Memory is MiB."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput

MIN_MEMORY_MB = 16
MAX_CPUS = 128
MEMORY_PER_CPU = {"shared": (256, 2048), "performance": (2048, 8192)}  # by kind: as by default, at most
PERSIST = ("never", "always", "restart")
_SIZES = {"shared": (1, 2, 4, 6, 8), "performance": (1, 2, 4, 6, 8, 10, 12, 14, 16)}
_SIZE = re.compile(r"(shared|performance)(?:-cpu)?-(\d{1,2})x")
_GPU_SIZES = ("a10", "l40s", "a100-40gb", "a100-80gb")


@dataclass(frozen=True, slots=True)
class Guest:
    """What a machine may use. `cpus` counts whole processors, as a limit.

    A `shared` one gets a sixteenth of a `performance` one's share when processors are short. `persist_rootfs` says
    when the writable root outlives the machine's run: never, on a restart only, or always.
    """

    cpu_kind: str = "shared"
    cpus: int = 1
    memory_mb: int = 256
    max_memory_mb: int = 0  # as far as it can be given more while it runs; 0: memory_mb
    persist_rootfs: str = "never"


def size_of(name: str) -> tuple[str, int] | None:
    """Return the kind and number of processors of a size like shared-cpu-2x; None for no such size."""
    match = _SIZE.fullmatch(name)
    if not match or int(match[2]) not in _SIZES[match[1]]:
        return None
    return match[1], int(match[2])


def read_guest(data: object, where: str) -> Guest:
    """Read `guest`; raises BadInput that names the key."""
    reader = Reader(data, where)
    size = reader.text("size")
    named = size_of(size) if size else ("shared", 1)
    if named is None:
        if size.startswith(_GPU_SIZES):
            raise BadInput(f"{where}.size: {size[:40]!r} has a GPU, and GPUs are not supported", hint="choose another")
        raise BadInput(f"{where}.size: {size[:40]!r} is not a size", hint="use one like shared-cpu-1x, performance-2x")
    kind = reader.text("cpu_kind", named[0], among=("shared", "performance"))
    cpus = reader.number("cpus", named[1], 1, MAX_CPUS)
    guest = Guest(
        kind,
        cpus,
        reader.number("memory_mb", MEMORY_PER_CPU[kind][0] * cpus, MIN_MEMORY_MB, 4_194_304),
        reader.number("max_memory_mb", 0, 0, 4_194_304),
        reader.text("persist_rootfs", "never", among=PERSIST),
    )
    for key in ("gpus", "gpu_kind", "kernel_args", "host_dedication_id"):
        if reader.take(key) not in (None, 0, "", []):
            raise BadInput(f"{where}.{key} is not supported", hint=_REFUSALS[key])
    reader.done()
    if guest.max_memory_mb and guest.max_memory_mb < guest.memory_mb:
        raise BadInput(f"{where}.max_memory_mb is less than memory_mb", hint="leave it out, or ask for more")
    return guest


_REFUSALS = {
    "gpus": "machines have no GPU: remove the key",
    "gpu_kind": "machines have no GPU: remove the key",
    "kernel_args": "machines share the server's kernel: remove the key",
    "host_dedication_id": "the server is yours: remove the key",
}


def check_memory(guest: Guest, where: str) -> None:
    """Refuse more memory than a machine of this kind can have; raises BadInput that names the key."""
    most = MEMORY_PER_CPU[guest.cpu_kind][1] * guest.cpus
    for key in ("memory_mb", "max_memory_mb"):
        if getattr(guest, key) > most:
            raise BadInput(
                f"{where}.{key}: {guest.cpus} {guest.cpu_kind} cpus have at most {most} MB",
                hint="ask for more cpus" + (", or cpu_kind performance" if guest.cpu_kind == "shared" else ""),
            )


def guest_to_json(guest: Guest) -> dict[str, Any]:
    """Return the API's form."""
    out: dict[str, Any] = {"cpu_kind": guest.cpu_kind, "cpus": guest.cpus, "memory_mb": guest.memory_mb}
    if guest.max_memory_mb:
        out["max_memory_mb"] = guest.max_memory_mb
    if guest.persist_rootfs != "never":
        out["persist_rootfs"] = guest.persist_rootfs
    return out
