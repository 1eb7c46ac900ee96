"""The verbs on an app's secret keys: sealed before they reach the store, opened only to be used, never shown."""

from __future__ import annotations

from roost.control import key_use
from roost.control.core import Core
from roost.control.sealing import keys_of, of_app
from roost.model.secret_key import KeyType, SecretKey, check_key_name


class SecretKeys:
    """Secret keys by app and name."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self, app: str) -> list[SecretKey]:
        """Return an app's keys, without what is secret."""
        self._core.store.apps.get(app)
        return self._core.store.secret_keys.list(app)

    def get(self, app: str, name: str) -> SecretKey:
        """Return one key, without what is secret; raises NotFound."""
        self._core.store.apps.get(app)
        return self._core.store.secret_keys.get(app, name)[0]

    def set(self, app: str, name: str, kind: KeyType, value: bytes) -> tuple[SecretKey, int]:
        """Store a key in place of what has its name; returns it and the new secrets version. Raises BadInput."""
        return self._keep(app, name, kind, key_use.check(kind, value), replace=True)

    def generate(self, app: str, name: str, kind: KeyType) -> tuple[SecretKey, int]:
        """Make a random key; raises Conflict when there is one of that name."""
        return self._keep(app, name, kind, key_use.generate(kind), replace=False)

    def _keep(self, app: str, name: str, kind: KeyType, value: bytes, *, replace: bool) -> tuple[SecretKey, int]:
        now = self._core.now()
        key = SecretKey(app, check_key_name(name), kind, key_use.public_half(kind, value), now, now)
        with self._core.locks.holding(keys_of(app)):
            self._core.store.apps.get(app)
            sealed = self._core.vault.seal(value, _place(app, name, kind), key=of_app(app))
            version = self._core.store.secret_keys.set(key, sealed, replace=replace)
        return self.get(app, name), version

    def remove(self, app: str, name: str) -> int:
        """Remove a key for good; returns the new secrets version. Raises NotFound."""
        with self._core.locks.holding(keys_of(app)):
            self.get(app, name)
            return self._core.store.secret_keys.remove(app, name)

    def encrypt(self, app: str, name: str, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Encrypt with a key; raises BadInput for one that can't."""
        return key_use.encrypt(*self._open(app, name), plaintext, associated)

    def decrypt(self, app: str, name: str, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Decrypt with a key; raises BadInput for what it didn't encrypt."""
        return key_use.decrypt(*self._open(app, name), ciphertext, associated)

    def sign(self, app: str, name: str, message: bytes) -> bytes:
        """Sign with a key; raises BadInput for one that can't."""
        return key_use.sign(*self._open(app, name), message)

    def verify(self, app: str, name: str, message: bytes, signature: bytes) -> bool:
        """Tell whether a signature is the key's; raises BadInput for one that can't."""
        return key_use.verify(*self._open(app, name), message, signature)

    def _open(self, app: str, name: str) -> tuple[KeyType, bytes]:
        self._core.store.apps.get(app)
        key, sealed = self._core.store.secret_keys.get(app, name)
        return key.type, self._core.vault.open(sealed, _place(app, name, key.type), key=of_app(app))


def _place(app: str, name: str, kind: KeyType) -> str:
    return f"{app}/key/{kind}/{name}"
