"""The verbs around calls and the cloud itself: what only the operator may do, who did what, who machines are.

See `contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from roost.control.contract_values import KeyRotation
from roost.model.audit import AuditEntry, Called
from roost.model.replay import Kept
from roost.plan.domain_report import Report


class Admin(Protocol):
    """What only the cloud's operator may do."""

    def rotate_keys(self) -> KeyRotation:
        """Replace the key that wraps all others, and make the next key that signs identity tokens."""

    def domain(self) -> Report:
        """Return how the public certificates of the cloud's domain stand."""

    def check_domain(self) -> Report:
        """Ask DNS now, and have the authority asked again at once."""


class Audit(Protocol):
    """Who changed or tried to change what."""

    def record(self, call: Called) -> None:
        """Note a call, to be written soon. Never fails, never waits."""

    def list(
        self,
        *,
        orgs: Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        since: float = 0.0,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first: of some orgs and apps (None: of all), since a time, before an entry's id."""


class Oidc(Protocol):
    """Identity tokens of machines, and what those who check them need."""

    def token(self, machine_id: str, *, audience: str = "", aws_principal_tags: bool = False) -> str:
        """Return a signed JWT that says which machine it is, for one audience ("": the issuer); raises NotFound."""

    def configuration(self) -> dict[str, object]:
        """Return the OpenID Connect discovery document."""

    def keys(self) -> dict[str, object]:
        """Return the public keys, as a JSON Web Key Set."""


class Replays(Protocol):
    """Answers to calls with an Idempotency-Key. `key` is a digest that holds the token, method and path as well."""

    def find(self, key: bytes) -> Kept | None:
        """Return what was kept under a key in the last day."""

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer; may forget older ones, or this one when it is too large. Never fails."""
