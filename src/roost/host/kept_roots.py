"""Writable roots that outlive a machine's run, for machines that ask for that.

State: the machine's disk, which stays where it is, and on it, out of the machine's sight, a file that says which layers
it was above and how large it is. Invariant: a disk is used again only above the same layers; any other, or one whose
file is not whole, gives way to an empty one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from roost.host import mounts
from roost.host.contract import MachineSpec
from roost.host.disks import Disks
from roost.host.process import run
from roost.model.errors import RoostError

_SIGNATURE = "origin"
_MEND_TIMEOUT = 120.0
_MENDED = 1  # e2fsck: what was wrong was put right


def origin(spec: MachineSpec) -> str:
    """Return what a root must agree in to be used again: its layers and its size."""
    words = [str(spec.disk_gb), *map(str, spec.layers)]
    for one in spec.containers:
        words += [f"container {one.name}", *map(str, one.layers)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def sign(disk: Path, origin: str) -> None:
    """Note on a mounted, new disk what it is for."""
    fd = os.open(disk / _SIGNATURE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(origin)


def take(disks: Disks, machine_id: str, target: Path, origin: str) -> bool:
    """Mount the disk that an earlier run left at `target`; False when there is none that fits."""
    if not disks.image(machine_id).exists():
        return False
    with contextlib.suppress(RoostError, OSError, UnicodeDecodeError):
        mended = run(["e2fsck", "-p", str(disks.image(machine_id))], timeout=_MEND_TIMEOUT, check=False)
        if mended.returncode > _MENDED:  # it was cut off, and is beyond repair
            return False
        disks.mount(machine_id, target)
        if (target / _SIGNATURE).read_text() == origin:
            return True
    mounts.unmount(target)
    return False
