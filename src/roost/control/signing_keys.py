"""The RSA keys that sign machines' identity tokens, and when each is used.

State owned: the directory HOME/keys/oidc, one file per key (PKCS 8, mode 0600) named by the time it was made; a
copy in memory. `plan.signing_keys` decides which key signs and which are published. A file is written whole, so
a kill leaves either no new key or a good one; deleting an old one twice does nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from roost.model.errors import HostFailure
from roost.plan.signing_keys import Schedule, schedule

_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. `key_id` is its RFC 7638 thumbprint."""

    made_at: float
    key_id: str
    private: RSAPrivateKey
    jwk: dict[str, str]  # the public half (RFC 7517)


class SigningKeys:
    """The keys of one cloud."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._guard = threading.Lock()
        self._keys: list[SigningKey] | None = None

    def signing(self, now: float) -> SigningKey:
        """Return the key to sign with; one is made when there is none, or when the next one is due."""
        with self._guard:
            keys, plan = self._current(now)
            if plan.signs is None:
                raise AssertionError("a key was just made")
            return keys[plan.signs]

    def published(self, now: float) -> list[dict[str, str]]:
        """Return the public keys that relying parties should know now, newest first."""
        with self._guard:
            keys, plan = self._current(now)
            return [keys[number].jwk for number in reversed(plan.published)]

    def renew(self, now: float) -> None:
        """Make the next key now; it signs after a day, when it is known everywhere."""
        with self._guard:
            self._load().append(_make(self._directory, now))

    def _current(self, now: float) -> tuple[list[SigningKey], Schedule]:
        keys = self._load()
        plan = schedule([key.made_at for key in keys], now)
        if plan.due:
            keys.append(_make(self._directory, now))
            plan = schedule([key.made_at for key in keys], now)
        if plan.gone:
            for number in plan.gone:
                _file(self._directory, keys[number].made_at).unlink(missing_ok=True)
            self._keys = keys = [key for number, key in enumerate(keys) if number not in plan.gone]
            plan = schedule([key.made_at for key in keys], now)
        return keys, plan

    def _load(self) -> list[SigningKey]:
        if self._keys is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = [_read(path) for path in self._directory.glob("*.pem")]
            self._keys = sorted(found, key=lambda key: key.made_at)
        return self._keys


def _file(directory: Path, made_at: float) -> Path:
    return directory / f"{made_at:.6f}.pem"


def _make(directory: Path, now: float) -> SigningKey:
    private = generate_private_key(public_exponent=65537, key_size=_BITS)
    made_at = float(f"{now:.6f}")
    path = _file(directory, made_at)
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return _key(made_at, private)


def _read(path: Path) -> SigningKey:
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
        made_at = float(path.stem)
    except ValueError:
        private = None
        made_at = 0.0
    if not isinstance(private, RSAPrivateKey):
        raise HostFailure(f"{path} is not a signing key", hint="move it away: another one is made")
    return _key(made_at, private)


def _key(made_at: float, private: RSAPrivateKey) -> SigningKey:
    numbers = private.public_key().public_numbers()
    public = {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":")).encode()
    key_id = _base64url(hashlib.sha256(canonical).digest())
    return SigningKey(made_at, key_id, private, public | {"kid": key_id, "alg": "RS256", "use": "sig"})


def _number(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
