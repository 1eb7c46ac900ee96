"""Rows of tokens, orgs and their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from roost.model.errors import NameTaken, NotFound
from roost.model.identity import Member, Org, Role, Token
from roost.store.database import Database
from roost.store.schema import members, orgs, tokens


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as stored, and how it is proved: by the SHA-256 of its secret, or "" when the root key makes it."""

    token: Token
    sha256: str


_LISTS = ("apps", "actions", "app_ids")


def _token(row: Row[tuple[object, ...]]) -> StoredToken:
    data: dict[str, Any] = dict(row._mapping)
    sha256 = data.pop("sha256")
    for name in _LISTS:
        data[name] = None if data[name] is None else tuple(data[name])
    return StoredToken(Token(**data), "" if sha256.startswith("root:") else sha256)


class Tokens:
    """Tokens by id. No row holds what one could authenticate with."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, token: Token, sha256: str = "") -> None:
        """Add a token."""
        values = {name: getattr(token, name) for name in token.__slots__}
        values |= {name: None if values[name] is None else list(values[name]) for name in _LISTS}
        with self._db.write() as connection:
            connection.execute(insert(tokens).values(**values, sha256=sha256 or f"root:{token.id}"))

    def find(self, token_id: str) -> StoredToken | None:
        """Return the token with this id, or None."""
        with self._db.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).first()
            return _token(row) if row else None

    def list(self) -> list[Token]:
        """Return all tokens, oldest first."""
        with self._db.read() as connection:
            return [_token(row).token for row in connection.execute(select(tokens).order_by(tokens.c.created_at))]

    def revoke(self, token_id: str, at: float) -> None:
        """Make a token void from `at` on; one that is void already stays so."""
        with self._db.write() as connection:
            connection.execute(
                update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=at)
            )

    def forget_before(self, at: float) -> None:
        """Remove tokens that were revoked or expired before `at`."""
        with self._db.write() as connection:
            connection.execute(delete(tokens).where((tokens.c.revoked_at < at) | (tokens.c.expires_at < at)))


def end_of_app(connection: Connection, app_id: str, at: float) -> None:
    """Take an app that is no more from the tokens that were for it; those for nothing else are void from `at` on."""
    query = select(tokens.c.id, tokens.c.apps, tokens.c.app_ids).where(tokens.c.app_ids.is_not(None))
    for token_id, names, ids in connection.execute(query).all():
        if app_id not in ids:
            continue
        left = [pair for pair in zip(names, ids, strict=True) if pair[1] != app_id]
        values: dict[str, Any] = {"apps": [name for name, _ in left], "app_ids": [ident for _, ident in left]}
        own = update(tokens).where(tokens.c.id == token_id)
        connection.execute(
            own.values(**values) if left else own.where(tokens.c.revoked_at.is_(None)).values(revoked_at=at)
        )


class Orgs:
    """Orgs by slug, and who is in them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, org: Org) -> None:
        """Add an org; raises NameTaken."""
        try:
            with self._db.write() as connection:
                connection.execute(insert(orgs).values(slug=org.slug, name=org.name, created_at=org.created_at))
        except IntegrityError:
            raise NameTaken(f"there is an org {org.slug} already", hint="choose another slug") from None

    def find(self, slug: str) -> Org | None:
        """Return an org, or None."""
        with self._db.read() as connection:
            row = connection.execute(select(orgs).where(orgs.c.slug == slug)).first()
            return Org(**row._mapping) if row else None

    def list(self) -> list[Org]:
        """Return all orgs, by slug."""
        with self._db.read() as connection:
            return [Org(**row._mapping) for row in connection.execute(select(orgs).order_by(orgs.c.slug))]

    def remove(self, slug: str, at: float) -> None:
        """Remove an org and its members, and revoke its tokens."""
        with self._db.write() as connection:
            connection.execute(delete(members).where(members.c.org == slug))
            connection.execute(
                update(tokens).where(tokens.c.org == slug, tokens.c.revoked_at.is_(None)).values(revoked_at=at)
            )
            connection.execute(delete(orgs).where(orgs.c.slug == slug))

    def members(self, slug: str) -> Sequence[Member]:
        """Return an org's members, by name."""
        return self._members(members.c.org == slug)

    def of_user(self, user: str) -> dict[str, Role]:
        """Return the role of a user in each of its orgs."""
        return {member.org: member.role for member in self._members(members.c.user == user)}

    def _members(self, which: Any) -> Sequence[Member]:
        query = select(members).where(which).order_by(members.c.org, members.c.user)
        with self._db.read() as connection:
            return [Member(row.org, row.user, Role(row.role), row.added_at) for row in connection.execute(query).all()]

    def set_member(self, member: Member) -> None:
        """Add a member, or change its role."""
        which = (members.c.org == member.org) & (members.c.user == member.user)
        with self._db.write() as connection:
            changed = connection.execute(update(members).where(which).values(role=member.role.value)).rowcount
            if not changed:
                connection.execute(
                    insert(members).values(
                        org=member.org, user=member.user, role=member.role.value, added_at=member.added_at
                    )
                )

    def remove_member(self, slug: str, user: str) -> None:
        """Remove a member; raises NotFound."""
        which = (members.c.org == slug) & (members.c.user == user)
        with self._db.write() as connection:
            if not connection.execute(delete(members).where(which)).rowcount:
                raise NotFound(f"{user} is not a member of {slug}", hint=f"`roost orgs members list {slug}`")
