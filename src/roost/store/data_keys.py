"""Rows of data keys, and the sealed values from before there were any. Keys are encrypted before they come here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, and_, delete, func, insert, select, update

from roost.store.database import Database
from roost.store.schema import data_keys, operations, replays, secrets

PREFIX = b"roost/1\0"  # of a value that was sealed with a data key; older ones begin with a random nonce
Place = tuple[str, str, str]  # ("secret", app, name) | ("operation", id, "") | ("replay", key in hex, "")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key, encrypted with the wrapping key of that number."""

    ring_key: int
    wrapped: bytes


class DataKeys:
    """Data keys by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, name: str) -> WrappedKey | None:
        """Return a key or None."""
        query = select(data_keys.c.ring_key, data_keys.c.wrapped).where(data_keys.c.name == name)
        with self._db.read() as connection:
            row = connection.execute(query).first()
            return WrappedKey(**row._mapping) if row else None

    def add(self, name: str, ring_key: int, wrapped: bytes) -> None:
        """Add a key."""
        with self._db.write() as connection:
            connection.execute(insert(data_keys).values(name=name, ring_key=ring_key, wrapped=wrapped))

    def wrapped_otherwise(self, ring_key: int) -> list[tuple[str, WrappedKey]]:
        """Return the keys that are wrapped with another wrapping key."""
        with self._db.read() as connection:
            rows = connection.execute(select(data_keys).where(data_keys.c.ring_key != ring_key)).all()
        return [(row.name, WrappedKey(row.ring_key, row.wrapped)) for row in rows]

    def rewrap(self, name: str, former: bytes, ring_key: int, wrapped: bytes) -> int:
        """Replace the wrapped form of a key, if it is still `former`; returns how many that were."""
        with self._db.write() as connection:
            done = connection.execute(
                update(data_keys)
                .where(data_keys.c.name == name, data_keys.c.wrapped == former)
                .values(ring_key=ring_key, wrapped=wrapped)
            )
            return done.rowcount

    def has_older_values(self) -> bool:
        """True when values are stored that were sealed before there were data keys."""
        return next(self.older_values(), None) is not None

    def older_values(self) -> Iterator[tuple[Place, bytes]]:
        """Give the values that were sealed before there were data keys."""
        with self._db.read() as connection:
            found = list(_older(connection))
        yield from found

    def replace_older(self, place: Place, former: bytes, sealed: bytes) -> int:
        """Replace one of them, if it is still `former`; returns how many that were."""
        kind, first, second = place
        if kind == "secret":
            where = and_(secrets.c.app == first, secrets.c.name == second, secrets.c.sealed == former)
            change = update(secrets).where(where).values(sealed=sealed)
        elif kind == "operation":
            change = update(operations).where(operations.c.id == first, operations.c.sealed == former)
            change = change.values(sealed=sealed)
        else:
            change = update(replays).where(replays.c.key == bytes.fromhex(first), replays.c.body == former)
            change = change.values(body=sealed)
        with self._db.write() as connection:
            return connection.execute(change).rowcount


def remove_of_app(connection: Connection, app: str) -> None:
    """Remove an app's key, and with it all that was sealed with it; inside the transaction that removes the app."""
    connection.execute(delete(data_keys).where(data_keys.c.name == f"app/{app}"))


def _older(connection: Connection) -> Iterator[tuple[Place, bytes]]:
    for app, name, sealed in connection.execute(
        select(secrets.c.app, secrets.c.name, secrets.c.sealed).where(_is_older(secrets.c.sealed))
    ):
        yield ("secret", app, name), sealed
    for operation, arguments in connection.execute(
        select(operations.c.id, operations.c.sealed).where(_is_older(operations.c.sealed))
    ):
        yield ("operation", operation, ""), arguments
    for key, body in connection.execute(select(replays.c.key, replays.c.body).where(_is_older(replays.c.body))):
        yield ("replay", key.hex(), ""), body


def _is_older(column: Column[bytes]) -> ColumnElement[bool]:
    return column.is_not(None) & (func.substr(column, 1, len(PREFIX)) != PREFIX)
