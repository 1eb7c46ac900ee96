"""Rows of the audit log: appended, paged, trimmed; never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import delete, insert, select

from roost.model.audit import AuditEntry
from roost.store.database import Database
from roost.store.schema import audit

_NAMES = tuple(field.name for field in fields(AuditEntry))


class Audit:
    """The audit log. An entry's id sorts by its time."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries."""
        rows = [{name: getattr(entry, name) for name in _NAMES} | {"subject": dict(entry.subject)} for entry in entries]
        with self._db.write() as connection:
            connection.execute(insert(audit), rows)

    def list(
        self,
        *,
        orgs: Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        since: float = 0.0,
        before: str = "",
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return entries, newest first: of some orgs and apps (None: of all), since a time, before an id."""
        query = select(*(audit.c[name] for name in _NAMES)).order_by(audit.c.id.desc()).limit(limit)
        if orgs is not None:
            query = query.where(audit.c.org.in_(orgs))
        if apps is not None:
            query = query.where(audit.c.app.in_(apps))
        if since:
            query = query.where(audit.c.at >= since)
        if before:
            query = query.where(audit.c.id < before)
        with self._db.read() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query)]

    def trim(self, *, keep: int, since: float) -> None:
        """Remove what is older than `since`, and all but the `keep` newest."""
        with self._db.write() as connection:
            connection.execute(delete(audit).where(audit.c.at < since))
            last = connection.execute(select(audit.c.id).order_by(audit.c.id.desc()).offset(keep).limit(1)).scalar()
            if last is not None:
                connection.execute(delete(audit).where(audit.c.id <= last))
