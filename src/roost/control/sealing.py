"""Secrets at rest: encrypted with a key that is kept apart from the database.

AES-256-GCM with a fresh 96-bit nonce per value (NIST SP 800-38D); what a value belongs to (app and name)
is authenticated with it, so that a stored value can't be moved to another name. The digest is an HMAC,
so that equal values can be told without guessing them from the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roost.model.errors import HostFailure

_NONCE = 12


class Vault:
    """Seals and opens values with one key."""

    def __init__(self, key: bytes) -> None:
        """Take a 32-byte key."""
        self._cipher = AESGCM(key)
        self._digest_key = hashlib.sha256(b"roost digest" + key).digest()

    def seal(self, value: bytes, belongs_to: str) -> bytes:
        """Return `value` encrypted, bound to `belongs_to`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, belongs_to.encode())

    def open(self, sealed: bytes, belongs_to: str) -> bytes:
        """Return the value; raises HostFailure when the key or the binding is not the one it was sealed with."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], belongs_to.encode())
        except InvalidTag:
            raise HostFailure(
                f"the secret {belongs_to} can't be decrypted",
                hint="HOME/keys/secrets.key is not the key it was sealed with: restore it, or set the secret again",
            ) from None

    def digest(self, value: bytes) -> str:
        """Return 16 hex digits that are equal for equal values."""
        return hmac.new(self._digest_key, value, hashlib.sha256).hexdigest()[:16]


def load_vault(key_file: Path) -> Vault:
    """Open the vault whose key is in `key_file`, made (mode 0600) if it isn't there."""
    if not key_file.exists():
        key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = key_file.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(key_file)
    return Vault(key_file.read_bytes())
