"""Rows of certificates. Private keys are encrypted before they come here, and are read by their own query only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from roost.model.certificate import Attempt, Certificate, Issued, KeyKind, Uploaded, covering
from roost.model.errors import NameTaken, NotFound
from roost.store.database import Database
from roost.store.issuing_columns import attempt_values, issued_values
from roost.store.issuing_columns import read as read_issuing
from roost.store.schema import certificates

_COLUMNS = [column for column in certificates.c if not column.name.endswith("sealed")]


class Certificates:
    """Certificates by host name. A host name belongs to one app."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, app: str, hostname: str) -> Certificate:
        """Return one; raises NotFound, also when it is another app's."""
        query = select(*_COLUMNS).where(certificates.c.hostname == hostname, certificates.c.app == app)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"{app} has no certificate for {hostname}", hint=f"`roost certs list -a {app}` shows them")
        return _certificate(row)

    def add(self, certificate: Certificate) -> Certificate:
        """Add one, or return the app's own that is there; raises NameTaken when another app has the name."""
        try:
            with self._db.write() as connection:
                connection.execute(insert(certificates).values(**_row(certificate)))
        except IntegrityError:
            try:
                return self.get(certificate.app, certificate.hostname)
            except NotFound:
                raise NameTaken(
                    f"{certificate.hostname} is another app's", hint="remove it there first, or choose another name"
                ) from None
        return certificate

    def save(self, certificate: Certificate) -> None:
        """Store all but the private key, which goes when there is no uploaded certificate any more."""
        values = _row(certificate) | ({"sealed": None} if certificate.custom is None else {})
        values |= {"issued_sealed": None} if certificate.issued is None else {}
        with self._db.write() as connection:
            connection.execute(
                update(certificates)
                .where(certificates.c.hostname == certificate.hostname, certificates.c.app == certificate.app)
                .values(**values)
            )

    def save_with_key(self, certificate: Certificate, sealed: bytes) -> None:
        """Store it with the private key of its uploaded certificate."""
        with self._db.write() as connection:
            connection.execute(
                update(certificates)
                .where(certificates.c.hostname == certificate.hostname, certificates.c.app == certificate.app)
                .values(sealed=sealed, **_row(certificate))
            )

    def all_hosts(self) -> dict[str, tuple[str, ...]]:
        """Return the host names of all apps that have any, by app, each in the order of `hosts`."""
        query = select(certificates.c.app, certificates.c.hostname).order_by(certificates.c.hostname)
        found: dict[str, tuple[str, ...]] = {}
        with self._db.read() as connection:
            for app, hostname in connection.execute(query):
                found[app] = (*found.get(app, ()), hostname)
        return found

    def to_issue(self) -> list[Certificate]:
        """Return those that were asked for, each with what it has and how far its order is."""
        query = select(*_COLUMNS).where(certificates.c.acme_requested == 1)
        with self._db.read() as connection:
            return [_certificate(row) for row in connection.execute(query)]

    def save_attempt(self, app: str, hostname: str, attempt: Attempt | None, *, sealed: bytes | None = None) -> None:
        """Store how far the issuing is, with the key that the order is for; only while it is asked for."""
        self._update(app, hostname, attempt_values(attempt, sealed))

    def save_issued(self, app: str, hostname: str, issued: Issued, sealed: bytes | None) -> None:
        """Store an issued certificate; its key and the end of the order with it, unless `sealed` is None."""
        self._update(app, hostname, issued_values(issued, sealed))

    def _update(self, app: str, hostname: str, values: dict[str, Any]) -> None:
        """Change a row that is still this app's and still asks for a certificate."""
        own = (certificates.c.hostname == hostname) & (certificates.c.app == app)
        wanted = own & (certificates.c.acme_requested == 1)
        with self._db.write() as connection:
            connection.execute(update(certificates).where(wanted).values(**values))

    def sealed_keys(self, hostname: str) -> tuple[bytes | None, bytes | None]:
        """Return what was sealed of the keys of the issued certificate and of the order under way."""
        query = select(certificates.c.issued_sealed, certificates.c.attempt_sealed)
        with self._db.read() as connection:
            row = connection.execute(query.where(certificates.c.hostname == hostname)).first()
        return (row[0], row[1]) if row else (None, None)

    def sealed_key(self, hostname: str) -> bytes | None:
        """Return what was sealed of the private key."""
        with self._db.read() as connection:
            query = select(certificates.c.sealed).where(certificates.c.hostname == hostname)
            return connection.execute(query).scalar()

    def serving(self, host: str) -> list[Certificate]:
        """Return what there is for a host name: its own first, then the wildcard that covers it."""
        names = [host, covering(host)]
        query = select(*_COLUMNS).where(certificates.c.hostname.in_(names))
        with self._db.read() as connection:
            found = [_certificate(row) for row in connection.execute(query)]
        return sorted(found, key=lambda each: names.index(each.hostname))

    def hosts(self, app: str) -> tuple[str, ...]:
        """Return an app's host names."""
        query = select(certificates.c.hostname).where(certificates.c.app == app).order_by(certificates.c.hostname)
        with self._db.read() as connection:
            return tuple(connection.execute(query).scalars())

    def below(self, wildcard: str, *, but: str) -> tuple[str, ...]:
        """Return the host names, at any depth below a wildcard, of all apps but one."""
        others = certificates.c.hostname.endswith(wildcard.removeprefix("*"), autoescape=True)
        query = select(certificates.c.hostname).where(others, certificates.c.app != but)
        with self._db.read() as connection:
            return tuple(connection.execute(query.order_by(certificates.c.hostname)).scalars())

    def remove(self, app: str, hostname: str) -> None:
        """Remove one."""
        with self._db.write() as connection:
            connection.execute(
                delete(certificates).where(certificates.c.hostname == hostname, certificates.c.app == app)
            )

    def list(self, app: str, *, part: str = "", after: str = "", limit: int) -> tuple[list[Certificate], int]:
        """Return those after a host name, at most `limit`, whose names hold `part`; and how many these are in all."""
        chosen = certificates.c.app == app
        if part:
            chosen &= certificates.c.hostname.contains(part, autoescape=True)
        page = select(*_COLUMNS).where(chosen, certificates.c.hostname > after).order_by(certificates.c.hostname)
        with self._db.read() as connection:
            total = connection.execute(select(func.count()).select_from(certificates).where(chosen)).scalar_one()
            return [_certificate(row) for row in connection.execute(page.limit(limit))], total


def _row(certificate: Certificate) -> dict[str, Any]:
    return asdict(certificate) | {"acme_requested": int(certificate.acme_requested)}


def _certificate(row: Row[Any]) -> Certificate:
    data = dict(row._mapping)
    custom = data["custom"]
    data["acme_requested"] = bool(data["acme_requested"])
    data["custom"] = Uploaded(**(custom | {"kind": KeyKind(custom["kind"])})) if custom else None
    return Certificate(**(data | read_issuing(data)))
