"""Which volumes want their daily snapshot, and which snapshots have had their time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.model.volume import Snapshot, SnapshotState, Volume, VolumeState

DAY = 86_400.0


def wants_snapshot(volume: Volume, snapshots: Iterable[Snapshot], now: float) -> bool:
    """Say whether a volume's latest snapshot, by hand or by schedule, or else its making, is a day ago."""
    if volume.state is not VolumeState.CREATED or not volume.auto_backup_enabled:
        return False
    latest = max((s.created_at for s in snapshots if s.volume_id == volume.id), default=volume.created_at)
    return now - latest >= DAY


def expired(snapshots: Iterable[Snapshot], now: float) -> Sequence[Snapshot]:
    """Return the snapshots that were kept for as many days as they were to be."""
    return [s for s in snapshots if s.state is SnapshotState.CREATED and now - s.created_at > s.retention_days * DAY]
