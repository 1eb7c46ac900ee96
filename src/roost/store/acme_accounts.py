"""Rows of accounts at ACME servers, by the address of the server's directory. Keys are sealed before they come here."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import insert, select, update

from roost.store.database import Database
from roost.store.schema import acme_accounts


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account. `uri` is "" until the server has confirmed it."""

    directory: str
    uri: str
    sealed: bytes
    created_at: float


class AcmeAccounts:
    """Accounts by directory."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, directory: str) -> StoredAccount | None:
        """Return one or None."""
        with self._db.read() as connection:
            row = connection.execute(select(acme_accounts).where(acme_accounts.c.directory == directory)).first()
        return StoredAccount(**row._mapping) if row else None

    def add(self, account: StoredAccount) -> None:
        """Add one, before the server is told."""
        with self._db.write() as connection:
            connection.execute(insert(acme_accounts).values(**asdict(account)))

    def confirm(self, directory: str, uri: str) -> None:
        """Store the address that the server gave it."""
        with self._db.write() as connection:
            connection.execute(update(acme_accounts).where(acme_accounts.c.directory == directory).values(uri=uri))
