"""API tokens: made here, stored as hashes, compared in constant time.

A token is `roost_ID_SECRET`; the id finds the row, the secret's hash proves it. Secrets have 256 random
bits, so a plain SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from roost.control.contract import ADMIN, Principal
from roost.model.errors import Unauthorized
from roost.store.operations import StoredToken
from roost.store.store import Store

_TOKEN = re.compile(r"roost_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def create(self, name: str, role: str = ADMIN) -> str:
        """Make a token and return its only copy."""
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        self._store.tokens.add(StoredToken(token_id, name, role, _hash(secret), self._now(), None, None))
        return f"roost_{token_id}_{secret}"

    def authenticate(self, token: str) -> Principal:
        """Return who owns the token; raises Unauthorized."""
        match = _TOKEN.fullmatch(token)
        stored = self._store.tokens.find(match[1]) if match else None
        secret = match[2] if match else ""
        if stored is None or not hmac.compare_digest(stored.sha256, _hash(secret)):
            raise Unauthorized("Authenticate: token validation error", hint="`roost login URL` stores a token")
        if stored.revoked_at is not None or (stored.expires_at is not None and stored.expires_at <= self._now()):
            raise Unauthorized(
                "Authenticate: token validation error: it is expired or revoked", hint="`roost login URL`"
            )
        return Principal(stored.name, stored.role, stored.id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
