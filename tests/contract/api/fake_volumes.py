"""Fakes of volumes and their snapshots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from tests.contract.api.fake_destroyed import page_of
from tests.contract.api.fake_world import (
    NOW,
    World,
)

from roost.model.errors import BadInput, FailedPrecondition, NotFound
from roost.model.listing import OrgListing
from roost.model.volume import Snapshot, SnapshotState, Usage, Volume, VolumeState, snapshot_id, volume_id


class Volumes:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[Volume]:
        self.world.app(app)
        return [v for v in self.world.volumes.values() if v.app == app]

    def count(self, app: str) -> int:
        return len(self.list(app))

    def of_org(self, asked: OrgListing) -> Sequence[Volume]:
        rows = [*self.world.volumes.values(), *(self.world.destroyed.volumes if asked.destroyed else [])]
        return page_of(self.world, rows, asked)

    def create(
        self,
        app: str,
        name: str,
        *,
        size_gb: int = 0,
        region: str = "",
        snapshot_id: str = "",
        source_volume_id: str = "",
        snapshot_retention: int = 5,
        auto_backup_enabled: bool = True,
    ) -> Volume:
        self.world.app(app)
        self.world.asked.append(("volume", name, size_gb, snapshot_id, source_volume_id))
        made = Volume(
            volume_id(os.urandom(10)), app, name, VolumeState.CREATED, size_gb or 1, region or "local",
            snapshot_retention, auto_backup_enabled, "", NOW, NOW + len(self.world.volumes),
        )  # fmt: skip
        self.world.volumes[made.id] = made
        return made

    def get(self, app: str, volume_id: str) -> Volume:
        self.world.app(app)
        found = self.world.volumes.get(volume_id)
        if found is None or found.app != app:
            raise NotFound("volume not found")
        return found

    def usage(self, volume: Volume) -> Usage:
        return Usage(4096, volume.size_gb << 18, volume.size_gb << 17, volume.size_gb << 17)

    def update(
        self,
        app: str,
        volume_id: str,
        *,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        found = self.get(app, volume_id)
        if snapshot_retention is not None:
            found = replace(found, snapshot_retention=snapshot_retention)
        if auto_backup_enabled is not None:
            found = replace(found, auto_backup_enabled=auto_backup_enabled)
        self.world.volumes[volume_id] = found
        return found

    def extend(self, app: str, volume_id: str, size_gb: int) -> tuple[Volume, bool]:
        found = self.get(app, volume_id)
        if size_gb < found.size_gb:
            raise BadInput("it can't become smaller")
        self.world.volumes[volume_id] = replace(found, size_gb=size_gb)
        return self.world.volumes[volume_id], False

    def destroy(self, app: str, volume_id: str) -> Volume:
        found = self.get(app, volume_id)
        if found.attached_machine_id:
            raise FailedPrecondition("failed_precondition: it is attached")
        self.world.destroyed.add_volume(self.world.volumes.pop(volume_id))
        return replace(found, state=VolumeState.DESTROYING)

    def snapshots(self, app: str, volume_id: str) -> Sequence[Snapshot]:
        self.get(app, volume_id)
        return self.world.snapshots.get(volume_id, [])

    def snapshot(self, app: str, volume_id: str) -> Snapshot:
        found = self.get(app, volume_id)
        made = Snapshot(
            snapshot_id(os.urandom(10)), volume_id, app, SnapshotState.CREATED, 4096, found.size_gb << 30,
            found.snapshot_retention, NOW,
        )  # fmt: skip
        self.world.snapshots.setdefault(volume_id, []).insert(0, made)
        return made
