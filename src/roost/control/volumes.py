"""The verbs on volumes and snapshots: the row says what is wanted before the host does it.

State owned: none; the rows are the store's, the images the host's. A kill in between is put right by `recover`: what
nobody was told of is taken back, an extension and a destruction are finished. A volume is removed by `destroy` and
by nothing else, never while a machine has it; its snapshots stay for as long as they were to be kept.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from roost.control.capacity import require_room
from roost.control.core import Core, log
from roost.control.org_listing import with_destroyed
from roost.model.app_config import Backups
from roost.model.errors import BadInput, FailedPrecondition, NotFound, RoostError
from roost.model.listing import OrgListing
from roost.model.machine_config import MachineConfig
from roost.model.volume import (
    DEFAULT_GB,
    DEFAULT_RETENTION,
    MAX_GB,
    MAX_RETENTION,
    MIN_RETENTION,
    Snapshot,
    SnapshotState,
    Usage,
    Volume,
    VolumeState,
    check_snapshot_id,
    check_transition,
    check_volume_name,
    snapshot_id,
    volume_id,
)
from roost.plan.snapshots import expired, wants_snapshot

_S = VolumeState
_GB = 1 << 30


class Volumes:
    """Volumes of an app."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._providing = threading.Lock()

    def get(self, app: str, volume_id: str) -> Volume:
        """Return a volume; raises NotFound, also when it belongs to another app."""
        return self._core.store.volumes.get(app, volume_id)

    def usage(self, volume: Volume) -> Usage:
        """Return how full it is."""
        try:
            return self._core.host.volumes.usage(volume.id)
        except NotFound:  # being made
            return Usage(4096, volume.size_gb * _GB // 4096, 0, 0)

    def count(self, app: str) -> int:
        """Return how many volumes an app has."""
        return self._core.store.volumes.count(app)

    def create(
        self,
        app: str,
        name: str,
        *,
        size_gb: int = 0,
        region: str = "",
        snapshot_id: str = "",
        source_volume_id: str = "",
        snapshot_retention: int = DEFAULT_RETENTION,
        auto_backup_enabled: bool = True,
    ) -> Volume:
        """Make a volume, empty or as a copy; a copy is at least as large as its original (0: just as large)."""
        core = self._core
        core.store.apps.get(app)
        check_volume_name(name)
        _check_retention(snapshot_retention)
        if snapshot_id and source_volume_id:
            raise BadInput("give snapshot_id or source_volume_id, not both")
        least = self._size_of_original(app, snapshot_id, source_volume_id)
        size_gb = _check_size(size_gb or least or DEFAULT_GB)
        if size_gb < least:
            raise BadInput(f"size_gb is {size_gb}, and the original has {least} GB", hint="leave size_gb out")
        require_room(core.host, "another volume")
        volume = Volume(
            id=volume_id(os.urandom(10)),
            app=app,
            name=name,
            state=_S.CREATING,
            size_gb=size_gb,
            region=region or core.region,
            snapshot_retention=snapshot_retention,
            auto_backup_enabled=auto_backup_enabled,
            attached_machine_id="",
            created_at=core.now(),
            updated_at=core.now(),
        )
        with core.locks.holding(volume.id):
            core.store.volumes.add(volume)
            core.fault("volume.create.recorded")
            try:
                core.host.volumes.create(volume.id, size_gb, snapshot_id=snapshot_id, source_id=source_volume_id)
            except BaseException:
                self._take_back(volume.id)
                raise
            core.fault("volume.create.made")
            core.store.volumes.change(volume.id, state=_S.CREATED.value)
            return replace(volume, state=_S.CREATED)

    def update(
        self,
        app: str,
        volume_id: str,
        *,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        """Change how it is backed up; None leaves a thing as it is."""
        self.get(app, volume_id)
        changes: dict[str, object] = {}
        if snapshot_retention is not None:
            changes["snapshot_retention"] = _check_retention(snapshot_retention)
        if auto_backup_enabled is not None:
            changes["auto_backup_enabled"] = int(auto_backup_enabled)
        if changes:
            self._core.store.volumes.change(volume_id, **changes)
        return self.get(app, volume_id)

    def extend(self, app: str, volume_id: str, size_gb: int) -> tuple[Volume, bool]:
        """Make it larger; says whether its machine must be restarted to see it. Raises BadInput for a smaller size."""
        core = self._core
        _check_size(size_gb)
        with core.locks.holding(volume_id):
            volume = self.get(app, volume_id)
            if size_gb < volume.size_gb:
                raise BadInput(
                    f"volume {volume_id} has {volume.size_gb} GB and can't become smaller",
                    hint="make a smaller one and copy what is on it",
                )
            if volume.state is not _S.EXTENDING:
                check_transition(volume_id, volume.state, _S.EXTENDING)
            core.store.volumes.change(volume_id, state=_S.EXTENDING.value, size_gb=size_gb)
            core.fault("volume.extend.recorded")
            try:
                now = core.host.volumes.extend(volume_id, size_gb)
            except RoostError:
                core.store.volumes.change(volume_id, state=_S.CREATED.value, size_gb=volume.size_gb)
                raise
            core.fault("volume.extend.extended")
            core.store.volumes.change(volume_id, state=_S.CREATED.value)
            return self.get(app, volume_id), not now

    def destroy(self, app: str, volume_id: str) -> Volume:
        """Remove it for good; raises FailedPrecondition while a machine has it. Its snapshots stay."""
        with self._core.locks.holding(volume_id):
            volume = self.get(app, volume_id)
            if volume.state is not _S.DESTROYING:
                check_transition(volume_id, volume.state, _S.DESTROYING)
            if not self._core.store.volumes.condemn(volume_id):
                holder = self.get(app, volume_id).attached_machine_id
                raise FailedPrecondition(
                    f"failed_precondition: volume {volume_id} is attached to machine {holder}",
                    hint=f"destroy the machine first: roost machine destroy {holder} -a {app}",
                )
            self._core.fault("volume.destroy.recorded")
            self._take_back(volume_id, remembered=True)
            return replace(volume, state=_S.DESTROYING)

    def snapshots(self, app: str, volume_id: str) -> list[Snapshot]:
        """Return its snapshots, newest first, also when the volume is gone; raises NotFound."""
        found = [s for s in self._core.store.snapshots.list(volume_id=volume_id) if s.app == app]
        if not found:
            self.get(app, volume_id)
        return found

    def snapshot(self, app: str, volume_id: str) -> Snapshot:
        """Keep what it holds now for as many days as it says."""
        core = self._core
        with core.locks.holding(volume_id):
            volume = self.get(app, volume_id)
            if volume.state is not _S.CREATED:
                raise FailedPrecondition(f"failed_precondition: volume {volume_id} is {volume.state}", hint="try again")
            require_room(core.host, "a snapshot")
            made = Snapshot(
                id=snapshot_id(os.urandom(10)),
                volume_id=volume_id,
                app=app,
                state=SnapshotState.CREATING,
                size=0,
                volume_size=volume.size_gb * _GB,
                retention_days=volume.snapshot_retention,
                created_at=core.now(),
            )
            core.store.snapshots.add(made)
            core.fault("volume.snapshot.recorded")
            try:
                used, size = core.host.volumes.snapshot(volume_id, made.id)
            except BaseException:
                self._forget(made)
                raise
            core.fault("volume.snapshot.made")
            core.store.snapshots.change(made.id, state=SnapshotState.CREATED.value, size=used, volume_size=size)
            return replace(made, state=SnapshotState.CREATED, size=used, volume_size=size)

    def resolve(self, app: str, config: MachineConfig) -> MachineConfig:
        """Return the configuration with its volume named by id; raises NotFound when none of that name is free."""
        mounts = []
        for mount in config.mounts:
            volume = self.get(app, mount.volume) if mount.volume else self._free(app, mount.name)
            if volume is None:
                raise NotFound(
                    f"{app} has no free volume {mount.name!r}",
                    hint=f"make one: roost volumes create {mount.name} -a {app}",
                )
            if mount.name and volume.name != mount.name:
                raise BadInput(f"volume {volume.id} has the name {volume.name!r}, not {mount.name!r}")
            if volume.size_gb < mount.size_gb:
                raise FailedPrecondition(
                    f"failed_precondition: volume {volume.id} has {volume.size_gb} GB, less than {mount.size_gb}",
                    hint=f"extend it: roost volumes extend {volume.id} --size {mount.size_gb} -a {app}",
                )
            mounts.append(replace(mount, volume=volume.id, name=volume.name, size_gb=0))
        return replace(config, mounts=tuple(mounts))

    def provide(
        self,
        app: str,
        config: MachineConfig,
        report: Callable[[str], None],
        backups: Mapping[str, Backups] = MappingProxyType({}),
    ) -> MachineConfig:
        """Return the configuration with a free volume of the mount's name, which is made if there is none.

        `backups` says, by name, how the snapshots of one that is made are kept.
        """
        with self._providing:
            for mount in config.mounts:
                if not mount.volume and self._free(app, mount.name) is None:
                    kept = backups.get(mount.name, Backups())
                    made = self.create(
                        app,
                        mount.name,
                        size_gb=mount.size_gb,
                        snapshot_retention=kept.retention,
                        auto_backup_enabled=kept.scheduled,
                    )
                    report(f"volume {made.id} ({made.name}, {made.size_gb} GB) is made")
        mounts = tuple(replace(mount, size_gb=0) for mount in config.mounts)  # it may be another's, of its own size
        return self.resolve(app, replace(config, mounts=mounts))

    def destroy_all(self, app: str) -> None:
        """Remove the volumes and snapshots of an app that is destroyed; its machines are gone by now."""
        for volume in self._core.store.volumes.list(app):
            self.destroy(app, volume.id)
        for snapshot in self._core.store.snapshots.list(app=app):
            self._forget(snapshot)

    def recover(self) -> None:
        """Put right what a kill left between a row and the host."""
        for volume in self._core.store.volumes.list():
            try:
                with self._core.locks.holding(volume.id):
                    self._recover(volume)
            except Exception:
                log.exception("a volume could not be put right", volume=volume.id)
        for snapshot in self._core.store.snapshots.list():
            if snapshot.state is not SnapshotState.CREATED:
                with contextlib.suppress(RoostError):
                    self._forget(snapshot)

    def _recover(self, volume: Volume) -> None:
        match volume.state:
            case _S.CREATING | _S.DESTROYING:
                log.info("removing a volume", volume=volume.id, state=volume.state)
                self._take_back(volume.id, remembered=volume.state is _S.DESTROYING)
            case _S.EXTENDING:
                self._core.host.volumes.extend(volume.id, volume.size_gb)
                self._core.store.volumes.change(volume.id, state=_S.CREATED.value)
            case _S.CREATED | _S.DESTROYED:
                pass

    def look_after(self) -> None:
        """One round: take the daily snapshots that are due, remove those that were kept long enough."""
        core = self._core
        snapshots = core.store.snapshots.list()
        for volume in core.store.volumes.list():
            if wants_snapshot(volume, snapshots, core.now()):
                try:
                    self.snapshot(volume.app, volume.id)
                except RoostError as error:
                    log.warning("no daily snapshot", volume=volume.id, error=error.message, hint=error.hint)
        for snapshot in expired(snapshots, core.now()):
            self._forget(snapshot)

    def _size_of_original(self, app: str, snapshot_id: str, source_volume_id: str) -> int:
        """Return the size in GB of what a copy is made of, 0 for none; raises NotFound."""
        if source_volume_id:
            source = self.get(app, source_volume_id)
            if source.state is not _S.CREATED:
                raise FailedPrecondition(f"failed_precondition: volume {source.id} is {source.state}", hint="try again")
            return source.size_gb
        if snapshot_id:
            snapshot = self._core.store.snapshots.find(check_snapshot_id(snapshot_id))
            if snapshot is None or snapshot.app != app or snapshot.state is not SnapshotState.CREATED:
                raise NotFound("snapshot not found", hint="`roost volumes snapshots list VOLUME` shows them")
            return -(-snapshot.volume_size // _GB)
        return 0

    def _free(self, app: str, name: str) -> Volume | None:
        volumes = self._core.store.volumes.list(app)
        return next(
            (v for v in volumes if v.name == name and v.state is _S.CREATED and not v.attached_machine_id), None
        )

    def _take_back(self, volume_id: str, *, remembered: bool = False) -> None:
        self._core.host.volumes.destroy(volume_id)
        self._core.fault("volume.destroy.destroyed")
        self._core.store.volumes.remove(volume_id, self._core.now() if remembered else 0.0)

    def _forget(self, snapshot: Snapshot) -> None:
        if snapshot.state is SnapshotState.CREATED:
            self._core.store.snapshots.change(snapshot.id, state=SnapshotState.DESTROYING.value)
        self._core.host.volumes.destroy_snapshot(snapshot.id)
        self._core.store.snapshots.remove(snapshot.id)

    def of_org(self, asked: OrgListing) -> Sequence[Volume]:
        """Return an org's volumes that are asked for, in the order of their last change."""
        store = self._core.store
        found = store.volumes.of_org(asked)
        return with_destroyed(found, lambda: store.destroyed_volumes.of_org(asked), asked)

    def list(self, app: str) -> list[Volume]:
        """Return the volumes of an app, oldest first."""
        self._core.store.apps.get(app)
        return self._core.store.volumes.list(app)


def _check_size(size_gb: int) -> int:
    if not 1 <= size_gb <= MAX_GB:
        raise BadInput(f"size_gb must be from 1 to {MAX_GB}")
    return size_gb


def _check_retention(days: int) -> int:
    if not MIN_RETENTION <= days <= MAX_RETENTION:
        raise BadInput(f"snapshot_retention must be from {MIN_RETENTION} to {MAX_RETENTION} days")
    return days
