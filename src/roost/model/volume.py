"""Volumes: named disks that outlive machines, their snapshots, and their legal state changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import BadInput, FailedPrecondition

MAX_GB = 500
DEFAULT_GB = 1
MIN_RETENTION, MAX_RETENTION, DEFAULT_RETENTION = 1, 60, 5  # days that a snapshot is kept
_NAME = re.compile(r"[a-z0-9_]{1,30}")
_VOLUME_ID = re.compile(r"vol_[a-z0-9]{16}")
_SNAPSHOT_ID = re.compile(r"vs_[a-z0-9]{16}")
_LETTERS = "0123456789abcdefghijklmnopqrstuv"


class VolumeState(StrEnum):
    """Where a volume is in its life. A machine can only be given a created one."""

    CREATING = "creating"  # nobody was told of it yet: one that a kill interrupted is taken back
    CREATED = "created"
    EXTENDING = "extending"  # `size_gb` is what it is to become
    DESTROYING = "destroying"
    DESTROYED = "destroyed"  # it is remembered for some days


_S = VolumeState
TRANSITIONS: dict[VolumeState, frozenset[VolumeState]] = {
    _S.CREATING: frozenset({_S.CREATED, _S.DESTROYING}),
    _S.CREATED: frozenset({_S.EXTENDING, _S.DESTROYING}),
    _S.EXTENDING: frozenset({_S.CREATED}),
    _S.DESTROYING: frozenset({_S.DESTROYED}),
    _S.DESTROYED: frozenset(),
}


def check_transition(volume_id: str, current: VolumeState, new: VolumeState) -> None:
    """Raise FailedPrecondition unless a volume may go from `current` to `new`."""
    if new not in TRANSITIONS[current]:
        raise FailedPrecondition(
            f"volume {volume_id} can't go from {current} to {new}", hint="wait a moment, then look at it again"
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume: what is desired of it, and the machine that holds it."""

    id: str
    app: str
    name: str
    state: VolumeState
    size_gb: int
    region: str
    snapshot_retention: int  # days
    auto_backup_enabled: bool
    attached_machine_id: str  # "": none
    created_at: float
    updated_at: float = 0.0


class SnapshotState(StrEnum):
    """Where a snapshot is in its life."""

    CREATING = "creating"
    CREATED = "created"
    DESTROYING = "destroying"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a volume held at one moment. It outlives its volume, until `retention_days` are over."""

    id: str
    volume_id: str
    app: str
    state: SnapshotState
    size: int  # bytes in use when it was taken
    volume_size: int  # bytes
    retention_days: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a volume's file system is."""

    block_size: int
    blocks: int
    blocks_free: int
    blocks_avail: int

    @property
    def bytes_total(self) -> int:
        """All of it."""
        return self.blocks * self.block_size

    @property
    def bytes_used(self) -> int:
        """What is written."""
        return (self.blocks - self.blocks_free) * self.block_size


def check_volume_name(name: str) -> str:
    """Return `name` if it can name a volume, else raise BadInput."""
    if _NAME.fullmatch(name):
        return name
    raise BadInput(
        f"{name[:80]!r} can't be a volume's name: use 1 to 30 lower-case letters, digits and underscores",
        hint="try 'data'",
    )


def is_volume_id(text: str) -> bool:
    """Say whether it is spelled like a volume's id."""
    return bool(_VOLUME_ID.fullmatch(text))


def check_volume_id(volume_id: str) -> str:
    """Return `volume_id` if it is spelled like one, else raise BadInput."""
    if is_volume_id(volume_id):
        return volume_id
    raise BadInput(f"invalid volume ID, {volume_id[:80]!r}", hint="`roost volumes list` shows the ids")


def check_snapshot_id(snapshot_id: str) -> str:
    """Return `snapshot_id` if it is spelled like one, else raise BadInput."""
    if _SNAPSHOT_ID.fullmatch(snapshot_id):
        return snapshot_id
    raise BadInput(f"invalid snapshot ID, {snapshot_id[:80]!r}", hint="`roost volumes snapshots list` shows the ids")


def volume_id(entropy: bytes) -> str:
    """Spell a volume id from 10 random bytes."""
    return f"vol_{_spell(entropy)}"


def snapshot_id(entropy: bytes) -> str:
    """Spell a snapshot id from 10 random bytes."""
    return f"vs_{_spell(entropy)}"


def _spell(entropy: bytes) -> str:
    if len(entropy) != 10:
        raise ValueError("an id takes 10 random bytes")
    number = int.from_bytes(entropy, "big")
    return "".join(_LETTERS[(number >> shift) & 31] for shift in range(75, -1, -5))
