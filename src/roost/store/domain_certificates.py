"""Rows of the public certificates of the cloud's own domain. Private keys are sealed before they come here.

A row outlives its app until its certificate expires, so that an app that is made again costs the authority nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from roost.model.certificate import Attempt, Certificate, Issued, Seen
from roost.model.domain_name import DomainName
from roost.model.errors import NotFound
from roost.store.database import Database
from roost.store.issuing_columns import attempt_values, issued_values
from roost.store.issuing_columns import read as read_issuing
from roost.store.schema import apps
from roost.store.schema import domain_certificates as table

_COLUMNS = [column for column in table.c if not column.name.endswith("sealed") and column.name != "directory"]
_NAMES = select(*_COLUMNS, apps.c.name.is_not(None).label("there"), apps.c.org.label("app_org")).select_from(
    table.outerjoin(apps, apps.c.name == table.c.app)
)


class DomainCertificates:
    """Names of the cloud's domain, by host name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def list(self) -> list[DomainName]:
        """Return all by name, each with whether its app is there."""
        with self._db.read() as connection:
            return [_name(row) for row in connection.execute(_NAMES.order_by(table.c.hostname))]

    def find(self, hostname: str) -> DomainName | None:
        """Return one or None."""
        found = self.serving([hostname])
        return found[0] if found else None

    def get(self, app: str, hostname: str) -> Certificate:
        """Return one in the form of an app's own host name; raises NotFound."""
        found = self.find(hostname)
        if found is None or found.app != app:
            raise NotFound(f"{hostname} has no certificate of its own yet", hint="roost admin domain")
        return found.as_certificate()

    def serving(self, hostnames: Sequence[str]) -> Sequence[DomainName]:
        """Return those of these names that there are, in that order."""
        query = _NAMES.where(table.c.hostname.in_(hostnames))
        with self._db.read() as connection:
            found = [_name(row) for row in connection.execute(query)]
        return sorted(found, key=lambda each: hostnames.index(each.hostname))

    def apps_without(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return at most `limit` apps without a row, and their orgs: the orgs by turns, the newest of each first."""
        turn = func.row_number().over(partition_by=apps.c.org, order_by=apps.c.number.desc()).label("turn")
        ranked = select(apps.c.name, apps.c.org, apps.c.number, turn).where(apps.c.name.not_in(select(table.c.app)))
        found = ranked.subquery()
        query = select(found.c.name, found.c.org).order_by(found.c.turn, found.c.number.desc()).limit(limit)
        with self._db.read() as connection:
            return [(row.name, row.org) for row in connection.execute(query)]

    def add(self, app: str, hostname: str, directory: str, now: float, *, called: bool = False) -> None:
        """Add a name, or note that it was called; as once when it is there."""
        values = {
            "hostname": hostname, "app": app, "created_at": now, "called_at": now if called else 0.0,
            "first_issued_at": 0.0, "directory": directory, "checked_at": 0.0,
        }  # fmt: skip
        try:
            with self._db.write() as connection:
                connection.execute(insert(table).values(**values))
        except IntegrityError:
            if called:
                own = and_(table.c.hostname == hostname, table.c.called_at == 0.0)
                with self._db.write() as connection:
                    connection.execute(update(table).where(own).values(called_at=now))

    def save_attempt(self, app: str, hostname: str, attempt: Attempt | None, *, sealed: bytes | None = None) -> None:
        """Store how far the issuing is, with the key that the order is for."""
        self._update(app, hostname, attempt_values(attempt, sealed))

    def save_issued(self, app: str, hostname: str, issued: Issued, sealed: bytes | None) -> None:
        """Store an issued certificate; its key and the end of the order with it, unless `sealed` is None."""
        self._update(app, hostname, issued_values(issued, sealed))
        first = and_(table.c.hostname == hostname, table.c.first_issued_at == 0.0)
        with self._db.write() as connection:
            org = func.coalesce(select(apps.c.org).where(apps.c.name == table.c.app).scalar_subquery(), "")
            connection.execute(update(table).where(first).values(first_issued_at=issued.created_at, org=org))

    def save_seen(self, app: str, hostname: str, seen: Seen, now: float) -> None:
        """Store what DNS said."""
        self._update(app, hostname, {"seen": asdict(seen), "checked_at": now})

    def _update(self, app: str, hostname: str, values: dict[str, Any]) -> None:
        own = and_(table.c.hostname == hostname, table.c.app == app)
        with self._db.write() as connection:
            connection.execute(update(table).where(own).values(**values))

    def sealed_keys(self, hostname: str) -> tuple[bytes | None, bytes | None]:
        """Return what was sealed of the keys of the issued certificate and of the order under way."""
        query = select(table.c.issued_sealed, table.c.attempt_sealed).where(table.c.hostname == hostname)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return (row[0], row[1]) if row else (None, None)

    def remove(self, hostnames: Collection[str]) -> None:
        """Remove some."""
        with self._db.write() as connection:
            connection.execute(delete(table).where(table.c.hostname.in_(hostnames)))

    def keep_only(self, domain: str, directory: str) -> None:
        """Forget the names of another domain. What another authority issued is to be issued anew, and serves till then.

        An order or a failure at another authority is forgotten.
        """
        other = and_(table.c.hostname != f"*.{domain}", table.c.hostname != table.c.app + f".{domain}")
        elsewhere = table.c.directory != directory
        with self._db.write() as connection:
            connection.execute(delete(table).where(other))
            rows = connection.execute(select(*_COLUMNS).where(elsewhere)).all()
            for row in rows:
                issued = _name(row).issued
                again = asdict(replace(issued, renew_at=0.0, ask_at=issued.expires_at)) if issued else None
                values: dict[str, Any] = {"directory": directory, "issued": again, "first_issued_at": 0.0}
                values |= {"attempt": None, "attempt_sealed": None}
                connection.execute(update(table).where(table.c.hostname == row.hostname).values(**values))


def _name(row: Row[*tuple[Any, ...]]) -> DomainName:
    data: dict[str, Any] = dict(row._mapping)
    exists = bool(data.pop("there", True)) or not data["app"]
    data["org"] = data["org"] or data.pop("app_org", None) or ""
    data.pop("app_org", None)
    return DomainName(**(data | read_issuing(data)), exists=exists)
