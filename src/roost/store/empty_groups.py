"""Rows of process groups that somebody scaled to no machines."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select

from roost.store.database import Database
from roost.store.schema import empty_groups

_C = empty_groups.c


class EmptyGroups:
    """Which process groups are to have no machine until they are scaled again."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, app: str) -> frozenset[str]:
        """Return the app's groups that are to have none."""
        with self._db.read() as connection:
            return frozenset(connection.execute(select(_C.group).where(_C.app == app)).scalars())

    def scaled(self, app: str, counts: Mapping[str, int]) -> None:
        """Write down that groups were brought to so many machines; the others stay as they are."""
        with self._db.write() as connection:
            connection.execute(delete(empty_groups).where(_C.app == app, _C.group.in_(list(counts))))
            for group, count in counts.items():
                if count == 0:
                    connection.execute(insert(empty_groups).values(app=app, group=group))
