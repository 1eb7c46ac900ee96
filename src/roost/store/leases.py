"""Rows of leases: at most one per machine. One that has expired counts as none."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from roost.model.machine_version import Lease
from roost.store.database import Database
from roost.store.schema import leases


class Leases:
    """Leases by machine."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, machine_id: str, now: float) -> Lease | None:
        """Return the lease on a machine, or None."""
        with self._db.read() as connection:
            return _find(connection, machine_id, now)

    def current(self, now: float) -> dict[str, Lease]:
        """Return all leases by machine: there are few, however many machines there are."""
        with self._db.read() as connection:
            rows = connection.execute(select(leases).where(leases.c.expires_at > now))
            return {row.machine_id: Lease(**row._mapping) for row in rows}

    def change(self, machine_id: str, now: float, decide: Callable[[Lease | None], Lease | None]) -> Lease | None:
        """Let `decide` say what the lease becomes (None: there is none), in one transaction; it may raise."""
        with self._db.write() as connection:
            lease = decide(_find(connection, machine_id, now))
            connection.execute(delete(leases).where(leases.c.machine_id == machine_id))
            if lease is not None:
                connection.execute(insert(leases).values(**{name: getattr(lease, name) for name in lease.__slots__}))
            return lease


def _find(connection: Connection, machine_id: str, now: float) -> Lease | None:
    query = select(leases).where(leases.c.machine_id == machine_id, leases.c.expires_at > now)
    row = connection.execute(query).first()
    return Lease(**row._mapping) if row else None
