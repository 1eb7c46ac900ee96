"""Rows of secret keys. Keys are encrypted before they come here."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from roost.model.errors import Conflict, NotFound
from roost.model.secret_key import KeyType, SecretKey
from roost.store.database import Database
from roost.store.schema import apps, secret_keys

_COLUMNS = [column for column in secret_keys.c if column.name != "sealed"]


class SecretKeys:
    """Secret keys by app and name. Each change gives the app's secrets their next version."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def list(self, app: str) -> list[SecretKey]:
        """Return an app's keys by name."""
        query = select(*_COLUMNS).where(secret_keys.c.app == app).order_by(secret_keys.c.name)
        with self._db.read() as connection:
            return [_key(dict(row._mapping)) for row in connection.execute(query)]

    def get(self, app: str, name: str) -> tuple[SecretKey, bytes]:
        """Return a key and what was sealed of it; raises NotFound."""
        query = select(secret_keys).where(secret_keys.c.app == app, secret_keys.c.name == name)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"{app} has no secret key {name}", hint=f"`roost secrets keys list -a {app}` shows them")
        data = dict(row._mapping)
        sealed = data.pop("sealed")
        return _key(data), sealed

    def set(self, key: SecretKey, sealed: bytes, *, replace: bool) -> int:
        """Store a key; returns the new secrets version. Raises Conflict when it is there, unless it may be replaced."""
        mine = (secret_keys.c.app == key.app) & (secret_keys.c.name == key.name)
        with self._db.write() as connection:
            made = connection.execute(select(secret_keys.c.created_at).where(mine)).scalar()
            if made is not None and not replace:
                raise Conflict(
                    f"{key.app} has a secret key {key.name}: what it encrypted could not be read with another one",
                    hint="choose another name, or remove it first",
                )
            connection.execute(delete(secret_keys).where(mine))
            connection.execute(
                insert(secret_keys).values(
                    app=key.app,
                    name=key.name,
                    type=key.type.value,
                    public=key.public,
                    sealed=sealed,
                    created_at=key.created_at if made is None else made,
                    updated_at=key.updated_at,
                )
            )
            connection.execute(
                update(apps).where(apps.c.name == key.app).values(secrets_version=apps.c.secrets_version + 1)
            )
            return int(connection.execute(select(apps.c.secrets_version).where(apps.c.name == key.app)).scalar_one())

    def remove(self, app: str, name: str) -> int:
        """Remove a key; returns the new secrets version."""
        with self._db.write() as connection:
            connection.execute(delete(secret_keys).where(secret_keys.c.app == app, secret_keys.c.name == name))
            connection.execute(
                update(apps).where(apps.c.name == app).values(secrets_version=apps.c.secrets_version + 1)
            )
            return int(connection.execute(select(apps.c.secrets_version).where(apps.c.name == app)).scalar_one())


def _key(data: dict[str, object]) -> SecretKey:
    return SecretKey(**(data | {"type": KeyType(str(data["type"]))}))  # type: ignore[arg-type]
