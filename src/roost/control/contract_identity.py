"""The verbs on orgs and tokens, a part of `contract`: read its docstring first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from roost.model.identity import Member, NewToken, Org, Principal, Role, Token


class Tokens(Protocol):
    """API tokens."""

    def authenticate(self, token: str, discharges: Sequence[str] = ()) -> Principal:
        """Return who owns the token (compared in constant time); `discharges` come along. Raises Unauthorized."""

    def issue(self, wanted: NewToken) -> tuple[Token, str]:
        """Make a token; returns it and its only copy. Raises NotFound for an unknown org, app or member."""

    def for_keys(self, machine_id: str) -> str:
        """Return a token that has the secret keys of a machine's app used, and does nothing else. Raises NotFound."""

    def list(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""

    def get(self, token_id: str) -> Token:
        """Return a token; raises NotFound."""

    def revoke(self, token_id: str) -> Token:
        """Make a token void, from the next request on; raises NotFound."""


class Orgs(Protocol):
    """Orgs: groups of users who share apps."""

    def list(self) -> Sequence[Org]:
        """Return all orgs, by slug."""

    def get(self, slug: str) -> Org:
        """Return an org; raises NotFound."""

    def create(self, slug: str, name: str = "") -> Org:
        """Make an org without members; raises NameTaken."""

    def destroy(self, slug: str) -> None:
        """Remove an org, its members and tokens; raises FailedPrecondition while it has apps."""

    def members(self, slug: str) -> Sequence[Member]:
        """Return an org's members, by name."""

    def set_member(self, slug: str, user: str, role: Role) -> Member:
        """Add a member, or change its role; raises NotFound."""

    def remove_member(self, slug: str, user: str) -> None:
        """Remove a member: its tokens see the org no more. Raises NotFound."""
