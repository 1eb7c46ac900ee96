"""Rows of the cloud's own certificates: its local authority, and what that signed. Keys are sealed before they come."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from roost.store.database import Database
from roost.store.schema import cloud_certificates


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate as PEM with its sealed key. Times are Unix seconds."""

    chain: str
    sealed: bytes
    expires_at: float
    created_at: float


class CloudCertificates:
    """Certificates by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, name: str) -> StoredCertificate | None:
        """Return one or None."""
        table = cloud_certificates.c
        query = select(table.chain, table.sealed, table.expires_at, table.created_at).where(table.name == name)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return StoredCertificate(**row._mapping) if row else None

    def save(self, name: str, certificate: StoredCertificate) -> StoredCertificate:
        """Store one in place of an earlier one, and return it."""
        with self._db.write() as connection:
            connection.execute(delete(cloud_certificates).where(cloud_certificates.c.name == name))
            connection.execute(insert(cloud_certificates).values(name=name, **asdict(certificate)))
        return certificate
