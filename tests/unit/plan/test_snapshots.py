"""Daily snapshots: due once a day, gone when they were kept long enough."""

from __future__ import annotations

from dataclasses import replace

from roost.model.volume import Snapshot, SnapshotState, Volume, VolumeState
from roost.plan.snapshots import DAY, expired, wants_snapshot

VOLUME = Volume("vol_0123456789abcdef", "shop", "data", VolumeState.CREATED, 1, "local", 5, True, "", 1000.0)
TAKEN = Snapshot("vs_0123456789abcdef", VOLUME.id, "shop", SnapshotState.CREATED, 1, 1, 5, 1000.0)


def test_one_a_day_from_the_making_on() -> None:
    assert not wants_snapshot(VOLUME, [], 1000 + DAY - 1)
    assert wants_snapshot(VOLUME, [], 1000 + DAY)
    later = replace(TAKEN, created_at=1000 + DAY)
    assert not wants_snapshot(VOLUME, [TAKEN, later], 1000 + DAY + 1)
    assert wants_snapshot(VOLUME, [TAKEN, later], 1000 + 2 * DAY)
    assert wants_snapshot(VOLUME, [replace(later, volume_id="vol_fedcba9876543210")], 1000 + DAY)


def test_none_of_what_is_not_to_have_any() -> None:
    assert not wants_snapshot(replace(VOLUME, auto_backup_enabled=False), [], 1000 + 9 * DAY)
    assert not wants_snapshot(replace(VOLUME, state=VolumeState.DESTROYING), [], 1000 + 9 * DAY)


def test_each_is_kept_for_its_days() -> None:
    assert expired([TAKEN], 1000 + 5 * DAY) == []
    assert expired([TAKEN], 1001 + 5 * DAY) == [TAKEN]
    assert expired([replace(TAKEN, state=SnapshotState.CREATING)], 1001 + 5 * DAY) == []
