"""Rows of volumes and their snapshots.

Which machine holds a volume is written in the transaction that adds or removes the machine's row (`take`, `let_go`):
the two never disagree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from roost.model.errors import FailedPrecondition, NotFound
from roost.model.listing import OrgListing
from roost.model.machine import Machine
from roost.model.volume import Snapshot, SnapshotState, Volume, VolumeState
from roost.store.database import Database
from roost.store.destroyed import remember
from roost.store.org_pages import page_by_state
from roost.store.schema import snapshots, volumes


def volume_of(values: Mapping[str, Any]) -> Volume:
    """Return the volume of a row's values."""
    data: dict[str, Any] = dict(values)
    data["state"] = VolumeState(data["state"])
    data["auto_backup_enabled"] = bool(data["auto_backup_enabled"])
    return Volume(**data)


def _volume(row: Row[tuple[object, ...]]) -> Volume:
    return volume_of(dict(row._mapping))


def _snapshot(row: Row[tuple[object, ...]]) -> Snapshot:
    data: dict[str, Any] = dict(row._mapping)
    data["state"] = SnapshotState(data["state"])
    return Snapshot(**data)


class Volumes:
    """Volumes by id. A destroyed volume has no row."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, volume: Volume) -> None:
        """Add a volume."""
        values = asdict(volume) | {
            "state": volume.state.value,
            "auto_backup_enabled": int(volume.auto_backup_enabled),
        }
        with self._db.write() as connection:
            connection.execute(insert(volumes).values(**values))

    def find(self, volume_id: str) -> Volume | None:
        """Return a volume or None."""
        with self._db.read() as connection:
            row = connection.execute(select(volumes).where(volumes.c.id == volume_id)).first()
            return _volume(row) if row else None

    def get(self, app: str, volume_id: str) -> Volume:
        """Return a volume of an app; raises NotFound."""
        volume = self.find(volume_id)
        if volume is None or volume.app != app:
            raise NotFound("volume not found", hint=f"`roost volumes list -a {app}` shows the volumes")
        return volume

    def change(self, volume_id: str, **changes: object) -> None:
        """Write some fields of a volume's row, never who holds it."""
        with self._db.write() as connection:
            changes |= {"updated_at": time.time()}
            connection.execute(update(volumes).where(volumes.c.id == volume_id).values(**changes))

    def condemn(self, volume_id: str) -> bool:
        """Write that a volume is to be destroyed, unless a machine has it; False then."""
        free = (volumes.c.id == volume_id) & (volumes.c.attached_machine_id == "")
        with self._db.write() as connection:
            done = connection.execute(
                update(volumes).where(free).values(state=VolumeState.DESTROYING.value, updated_at=time.time())
            )
            return bool(done.rowcount)

    def remove(self, volume_id: str, now: float = 0.0) -> None:
        """Remove the row. With `now`, the time, the volume is remembered among the destroyed ones."""
        with self._db.write() as connection:
            row = connection.execute(select(volumes).where(volumes.c.id == volume_id)).first() if now else None
            if row is not None:
                gone = {"state": VolumeState.DESTROYED.value, "updated_at": now}
                remember(connection, "volume", dict(row._mapping) | gone, now)
            connection.execute(delete(volumes).where(volumes.c.id == volume_id))

    def count(self, app: str) -> int:
        """Return how many volumes an app has."""
        query = select(func.count()).select_from(volumes).where(volumes.c.app == app)
        with self._db.read() as connection:
            return connection.execute(query).scalar_one()

    def counts_by_app(self) -> dict[str, int]:
        """Return how many volumes each app has."""
        query = select(volumes.c.app, func.count()).group_by(volumes.c.app)
        with self._db.read() as connection:
            return {str(app): int(count) for app, count in connection.execute(query)}

    def of_org(self, asked: OrgListing) -> Sequence[Volume]:
        """Return an org's volumes that are asked for, in the order of their last change."""
        query = page_by_state(select(volumes), volumes, asked)
        with self._db.read() as connection:
            return [_volume(row) for row in connection.execute(query)]

    def list(self, app: str | None = None) -> list[Volume]:
        """Return all volumes, or an app's, oldest first."""
        query = select(volumes).order_by(volumes.c.created_at, volumes.c.id)
        if app is not None:
            query = query.where(volumes.c.app == app)
        with self._db.read() as connection:
            return [_volume(row) for row in connection.execute(query)]


class Snapshots:
    """Snapshots by id."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot."""
        with self._db.write() as connection:
            connection.execute(insert(snapshots).values(**(asdict(snapshot) | {"state": snapshot.state.value})))

    def find(self, snapshot_id: str) -> Snapshot | None:
        """Return a snapshot or None."""
        with self._db.read() as connection:
            row = connection.execute(select(snapshots).where(snapshots.c.id == snapshot_id)).first()
            return _snapshot(row) if row else None

    def change(self, snapshot_id: str, **changes: object) -> None:
        """Write some fields of a snapshot's row."""
        with self._db.write() as connection:
            connection.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(**changes))

    def remove(self, snapshot_id: str) -> None:
        """Remove the row."""
        with self._db.write() as connection:
            connection.execute(delete(snapshots).where(snapshots.c.id == snapshot_id))

    def list(self, *, volume_id: str | None = None, app: str | None = None) -> list[Snapshot]:
        """Return all snapshots, or those of a volume (which may be gone) or an app, newest first."""
        query = select(snapshots).order_by(snapshots.c.created_at.desc(), snapshots.c.id)
        if volume_id is not None:
            query = query.where(snapshots.c.volume_id == volume_id)
        if app is not None:
            query = query.where(snapshots.c.app == app)
        with self._db.read() as connection:
            return [_snapshot(row) for row in connection.execute(query)]


def take(connection: Connection, machine: Machine) -> None:
    """Give a new machine its volumes; raises NotFound, FailedPrecondition when another machine has one."""
    for mount in machine.config.mounts:
        own = (volumes.c.id == mount.volume) & (volumes.c.app == machine.app)
        row = connection.execute(select(volumes).where(own)).first()
        if row is None:
            raise NotFound(f"volume {mount.volume} not found", hint=f"`roost volumes list -a {machine.app}` shows them")
        if row.attached_machine_id not in ("", machine.id):
            raise FailedPrecondition(
                f"failed_precondition: volume {mount.volume} is attached to machine {row.attached_machine_id}",
                hint="one volume belongs to one machine: fork it, or destroy that machine first",
            )
        if row.state not in (VolumeState.CREATED.value, VolumeState.EXTENDING.value):
            raise FailedPrecondition(f"failed_precondition: volume {mount.volume} is {row.state}")
        if row.attached_machine_id != machine.id:
            changes = {"attached_machine_id": machine.id, "updated_at": time.time()}
            connection.execute(update(volumes).where(own).values(**changes))


def let_go(connection: Connection, machine_id: str) -> None:
    """Take its volumes from a machine."""
    held = volumes.c.attached_machine_id == machine_id
    connection.execute(update(volumes).where(held).values(attached_machine_id="", updated_at=time.time()))
