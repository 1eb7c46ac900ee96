"""Rows of machines' versions and of updates under way.

Invariant: while an update is under way its row is there, whatever ends in between; the row that says
what the machine is and the one that says what it was change in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from roost.model.app import Event
from roost.model.machine import Machine
from roost.model.machine_config import machine_config_to_json, read_machine_config
from roost.model.machine_version import MachineVersion, Update
from roost.store.database import Database
from roost.store.machines import insert_event, machine_values
from roost.store.schema import machines, updates, versions

VERSIONS_KEPT = 50  # per machine


def _version(row: Row[tuple[object, ...]]) -> MachineVersion:
    data: Any = row._mapping
    return MachineVersion(data["instance_id"], data["image_digest"], read_machine_config(data["config"]))


def _columns(version: MachineVersion) -> dict[str, Any]:
    return {
        "instance_id": version.instance_id,
        "image_digest": version.image_digest,
        "config": machine_config_to_json(version.config),
    }


class Versions:
    """Earlier configurations by machine, and the update under way."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def list(self, machine_id: str) -> list[MachineVersion]:
        """Return the earlier versions, newest first (the current one is the machine's own)."""
        query = select(versions).where(versions.c.machine_id == machine_id).order_by(versions.c.instance_id.desc())
        with self._db.read() as connection:
            return [_version(row) for row in connection.execute(query)]

    def begin(self, found: Update) -> None:
        """Write down what is about to be done to a machine."""
        values = {"previous": found.previous, "launch": int(found.launch), "revive": int(found.revive)}
        values |= _columns(found.version)
        with self._db.write() as connection:
            connection.execute(delete(updates).where(updates.c.machine_id == found.machine_id))
            connection.execute(insert(updates).values(machine_id=found.machine_id, **values))

    def under_way(self, machine_id: str) -> Update | None:
        """Return the update that has not ended, or None."""
        with self._db.read() as connection:
            row = connection.execute(select(updates).where(updates.c.machine_id == machine_id)).first()
        if row is None:
            return None
        data: Any = row._mapping
        return Update(machine_id, _version(row), data["previous"], bool(data["launch"]), bool(data["revive"]))

    def end(self, machine_id: str) -> None:
        """Say that nothing is left to do."""
        with self._db.write() as connection:
            connection.execute(delete(updates).where(updates.c.machine_id == machine_id))

    def take_on(self, machine: Machine, version: MachineVersion, event: Event) -> Machine:
        """Give the machine its new version, and keep the old one."""
        before = MachineVersion(machine.instance_id, machine.image_digest, machine.config)
        changed = _with(machine, version)
        with self._db.write() as connection:
            connection.execute(insert(versions).values(machine_id=machine.id, **_columns(before)))
            _save(connection, changed, event)
            kept = select(versions.c.instance_id).where(versions.c.machine_id == machine.id)
            newest = kept.order_by(versions.c.instance_id.desc()).limit(VERSIONS_KEPT)
            connection.execute(
                delete(versions).where(versions.c.machine_id == machine.id, versions.c.instance_id.not_in(newest))
            )
        return changed

    def put_back(self, machine: Machine, version: MachineVersion, event: Event) -> Machine:
        """Give the machine an earlier version again, and end the update."""
        changed = _with(machine, version)
        with self._db.write() as connection:
            connection.execute(
                delete(versions).where(
                    versions.c.machine_id == machine.id, versions.c.instance_id == version.instance_id
                )
            )
            connection.execute(delete(updates).where(updates.c.machine_id == machine.id))
            _save(connection, changed, event)
        return changed


def _with(machine: Machine, version: MachineVersion) -> Machine:
    return replace(
        machine, instance_id=version.instance_id, image_digest=version.image_digest, config=version.config, restarts=0
    )


def _save(connection: Connection, machine: Machine, event: Event) -> None:
    connection.execute(update(machines).where(machines.c.id == machine.id).values(**machine_values(machine)))
    insert_event(connection, event, machine.app)
