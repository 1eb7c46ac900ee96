"""The keys that wrap all others (key-encryption keys), kept apart from the database.

State owned: HOME/keys/secrets.key, the first one, and secrets.N.key for those after it: 32 bytes each, mode 0600.
The newest wraps what is new. A file is written whole and only then used; it is removed only when nothing is
wrapped with it any more. What is wrapped is bound to its name, so that it can't be put in another's place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roost.model.errors import HostFailure

NONCE = 12
KEY = 32
_NAME = re.compile(r"secrets(?:\.([0-9]{1,9}))?\.key")


class KeyRing:
    """The key-encryption keys in a directory, by number."""

    def __init__(self, directory: Path) -> None:
        """Read them; the first one is made if there is none."""
        self._directory = directory
        self._keys: dict[int, bytes] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in directory.iterdir():
            if (match := _NAME.fullmatch(path.name)) is not None:
                self._keys[int(match[1] or 1)] = _checked(path)
        if not self._keys:
            self.add()

    @property
    def numbers(self) -> list[int]:
        """Which keys there are, oldest first."""
        return sorted(self._keys)

    @property
    def newest(self) -> int:
        """The key that wraps what is new."""
        return max(self._keys)

    def add(self) -> int:
        """Make another key, the newest from now on; returns its number."""
        number = max(self._keys, default=0) + 1
        key = os.urandom(KEY)
        write_private(self._path(number), key)
        self._keys = self._keys | {number: key}
        return number

    def drop(self, number: int) -> None:
        """Forget a key with which nothing is wrapped any more."""
        if number == self.newest:
            raise ValueError("the newest key is in use")
        self._path(number).unlink(missing_ok=True)
        self._keys = {kept: key for kept, key in self._keys.items() if kept != number}

    def raw(self, number: int) -> bytes | None:
        """Return a key itself, or None when it is not here."""
        return self._keys.get(number)

    def wrap(self, key: bytes, name: str) -> tuple[int, bytes]:
        """Return the newest key's number, and `key` encrypted with it and bound to `name`."""
        number = self.newest
        return number, encrypt(self._keys[number], key, f"data key {name}")

    def unwrap(self, number: int, wrapped: bytes, name: str) -> bytes:
        """Return a key; raises HostFailure when it was not wrapped with that key under that name."""
        key = self._keys.get(number)
        opened = decrypt(key, wrapped, f"data key {name}") if key is not None else None
        if opened is None:
            path = self._path(number)
            raise HostFailure(
                f"the key of {name} can't be decrypted", hint=f"restore {path}, the key it was encrypted with"
            )
        return opened

    def _path(self, number: int) -> Path:
        return self._directory / ("secrets.key" if number == 1 else f"secrets.{number}.key")


def encrypt(key: bytes, value: bytes, bound_to: str) -> bytes:
    """AES-256-GCM with a fresh 96-bit nonce in front (NIST SP 800-38D); `bound_to` is authenticated with the value."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, value, bound_to.encode())


def decrypt(key: bytes, sealed: bytes, bound_to: str) -> bytes | None:
    """Return the value, or None when the key or what it is bound to is another."""
    if len(sealed) < NONCE + 16:
        return None
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], bound_to.encode())
    except InvalidTag:
        return None


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 so that it is there whole, on disk, or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _checked(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY:
        raise HostFailure(f"{path} is damaged: it must have {KEY} bytes", hint="restore it from a backup")
    return key
