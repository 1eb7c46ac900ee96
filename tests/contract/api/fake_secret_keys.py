"""Secret keys in memory, which are really used: only where they are kept is a fake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roost.control import key_use
from roost.model.errors import Conflict, NotFound
from roost.model.secret_key import KeyType, SecretKey

if TYPE_CHECKING:
    from tests.contract.api.fake_world import World

AT = 1_700_000_000.5


class SecretKeys:
    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: dict[tuple[str, str], tuple[SecretKey, bytes]] = {}
        self.version = 0

    def list(self, app: str) -> list[SecretKey]:
        self.world.app(app)
        return [key for (owner, _), (key, _) in sorted(self.kept.items()) if owner == app]

    def get(self, app: str, name: str) -> SecretKey:
        return self._both(app, name)[0]

    def _both(self, app: str, name: str) -> tuple[SecretKey, bytes]:
        self.world.app(app)
        if (app, name) not in self.kept:
            raise NotFound(f"{app} has no secret key {name}")
        return self.kept[app, name]

    def _keep(self, app: str, name: str, kind: KeyType, value: bytes) -> tuple[SecretKey, int]:
        self.world.app(app)
        key = SecretKey(app, name, kind, key_use.public_half(kind, value), AT, AT)
        self.kept[app, name] = (key, value)
        self.version += 1
        return key, self.version

    def set(self, app: str, name: str, kind: KeyType, value: bytes) -> tuple[SecretKey, int]:
        return self._keep(app, name, kind, key_use.check(kind, value))

    def generate(self, app: str, name: str, kind: KeyType) -> tuple[SecretKey, int]:
        if (app, name) in self.kept:
            raise Conflict(f"{app} has a secret key {name}", hint="remove it first")
        return self._keep(app, name, kind, key_use.generate(kind))

    def remove(self, app: str, name: str) -> int:
        self._both(app, name)
        del self.kept[app, name]
        self.version += 1
        return self.version

    def _use(self, app: str, name: str) -> tuple[KeyType, bytes]:
        key, value = self._both(app, name)
        return key.type, value

    def encrypt(self, app: str, name: str, plaintext: bytes, associated: bytes = b"") -> bytes:
        return key_use.encrypt(*self._use(app, name), plaintext, associated)

    def decrypt(self, app: str, name: str, ciphertext: bytes, associated: bytes = b"") -> bytes:
        return key_use.decrypt(*self._use(app, name), ciphertext, associated)

    def sign(self, app: str, name: str, message: bytes) -> bytes:
        return key_use.sign(*self._use(app, name), message)

    def verify(self, app: str, name: str, message: bytes, signature: bytes) -> bool:
        return key_use.verify(*self._use(app, name), message, signature)
