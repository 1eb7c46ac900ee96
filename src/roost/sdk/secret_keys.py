"""Calls about secret keys: keys that are used where they are kept, and never come out."""

from __future__ import annotations

import base64
from typing import Any, NotRequired, TypedDict, cast

from roost.model.errors import BadInput
from roost.sdk.group import Group, M, call
from roost.sdk.transport import join


class SecretKey(TypedDict):
    """A key without its secret; `public_key` is base64, for types that have one."""

    name: str
    type: str
    public_key: NotRequired[str]
    created_at: str
    updated_at: str
    version: NotRequired[int]


class SecretKeys(Group[M]):
    """`client.secret_keys`. Texts to encrypt, messages and signatures are bytes."""

    @call
    async def get(self, app: str, name: str) -> SecretKey:
        """Return a key; raises NotFound."""
        return cast("SecretKey", await self._http.call("GET", join("apps", app, "secretkeys", name)))

    @call
    async def set(self, app: str, name: str, kind: str, value: bytes) -> SecretKey:
        """Store a key in place of what has its name; raises BadInput."""
        body = {"type": kind, "value": _text(value)}
        return cast("SecretKey", await self._http.call("POST", join("apps", app, "secretkeys", name), body=body))

    @call
    async def generate(self, app: str, name: str, kind: str) -> SecretKey:
        """Make a random key; raises Conflict when there is one of that name."""
        path = join("apps", app, "secretkeys", name, "generate")
        return cast("SecretKey", await self._http.call("POST", path, body={"type": kind}))

    @call
    async def remove(self, app: str, name: str) -> None:
        """Remove a key for good; raises NotFound."""
        await self._http.call("DELETE", join("apps", app, "secretkeys", name))

    @call
    async def encrypt(self, app: str, name: str, plaintext: bytes, *, associated_data: bytes = b"") -> bytes:
        """Encrypt with a key."""
        body = {"plaintext": _text(plaintext), "associated_data": _text(associated_data)}
        return _bytes((await self._use(app, name, "encrypt", body))["ciphertext"])

    @call
    async def decrypt(self, app: str, name: str, ciphertext: bytes, *, associated_data: bytes = b"") -> bytes:
        """Decrypt what a key encrypted; raises BadInput for anything else."""
        body = {"ciphertext": _text(ciphertext), "associated_data": _text(associated_data)}
        return _bytes((await self._use(app, name, "decrypt", body))["plaintext"])

    @call
    async def sign(self, app: str, name: str, message: bytes) -> bytes:
        """Sign with a key."""
        return _bytes((await self._use(app, name, "sign", {"plaintext": _text(message)}))["signature"])

    @call
    async def verify(self, app: str, name: str, message: bytes, signature: bytes) -> bool:
        """Tell whether a signature is the key's for this message."""
        body = {"plaintext": _text(message), "signature": _text(signature)}
        try:
            await self._use(app, name, "verify", body)
        except BadInput as error:
            if error.message.startswith("signature is not"):
                return False
            raise
        return True

    async def _use(self, app: str, name: str, verb: str, body: dict[str, str]) -> Any:
        return await self._http.call("POST", join("apps", app, "secretkeys", name, verb), body=body)

    @call
    async def list(self, app: str) -> list[SecretKey]:
        """Return an app's keys."""
        answer = await self._http.call("GET", join("apps", app, "secretkeys"))
        return cast("list[SecretKey]", answer["secret_keys"])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
