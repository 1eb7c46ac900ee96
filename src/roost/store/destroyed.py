"""Machines and volumes that were destroyed, as they were at their end: for some time, and not too many of them.

A row is written in the transaction that removes the thing's own (`remember`), so it is always one of the two. Rows
go with their app.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, delete, func, insert, select

from roost.model.errors import RoostError
from roost.model.listing import OrgListing
from roost.store.database import Database
from roost.store.org_pages import page_of_org
from roost.store.schema import destroyed

KEPT_PER_APP = 1000  # of each kind
_T = TypeVar("_T")


def remember(connection: Connection, kind: str, values: Mapping[str, Any], now: float) -> None:
    """Write down what something was, as its row, that is about to be removed."""
    row = {"id": values["id"], "app": values["app"], "region": values["region"], "destroyed_at": now}
    connection.execute(insert(destroyed).values(kind=kind, value=dict(values), **row))


class Destroyed(Generic[_T]):
    """Destroyed things of one kind by id. `read` makes one of its row."""

    def __init__(self, database: Database, kind: str, read: Callable[[Mapping[str, Any]], _T]) -> None:
        self._db, self._kind, self._read = database, kind, read

    def find(self, ident: str) -> _T | None:
        """Return one that is remembered, or None."""
        query = select(destroyed.c.value).where(destroyed.c.id == ident, destroyed.c.kind == self._kind)
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
        return next(iter(self._readable([found])), None) if found else None

    def _readable(self, values: Iterable[Mapping[str, Any]]) -> list[_T]:
        """Return what rows hold. One that another release wrote, and that can't be read any more, is as forgotten."""
        found = []
        for value in values:
            with contextlib.suppress(TypeError, KeyError, ValueError, RoostError):
                found.append(self._read(value))
        return found

    def list(self, app: str) -> list[_T]:
        """Return an app's, the longest gone first."""
        row = destroyed.c
        query = select(row.value).where(row.app == app, row.kind == self._kind).order_by(row.destroyed_at, row.id)
        with self._db.read() as connection:
            return self._readable(connection.execute(query).scalars())

    def of_org(self, asked: OrgListing) -> Sequence[_T]:
        """Return those that are asked for, whatever state they had, in the order of their ends."""
        kind = select(destroyed.c.value).where(destroyed.c.kind == self._kind)
        query = page_of_org(kind, destroyed, destroyed.c.destroyed_at, asked)
        with self._db.read() as connection:
            return self._readable(connection.execute(query).scalars())

    def forget(self, before: float) -> None:
        """Remove those destroyed before a time, and all but the latest KEPT_PER_APP of each app."""
        row = destroyed.c
        rank = func.row_number().over(partition_by=row.app, order_by=row.destroyed_at.desc())
        ranked = select(row.id, rank.label("rank")).where(row.kind == self._kind).subquery()
        too_many = row.id.in_(select(ranked.c.id).where(ranked.c.rank > KEPT_PER_APP))
        with self._db.write() as connection:
            connection.execute(delete(destroyed).where(row.kind == self._kind, (row.destroyed_at < before) | too_many))
