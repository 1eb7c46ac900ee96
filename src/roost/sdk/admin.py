"""Calls of the cloud's operator."""

from __future__ import annotations

from typing import TypedDict, cast

from roost.sdk.group import Group, M, call
from roost.sdk.transport import join

_SLOW = 300.0  # seconds


class KeyRotation(TypedDict):
    """What a rotation did: the new key's number, and how much was encrypted anew."""

    key: int
    data_keys: int
    values: int


class Admin(Group[M]):
    """`client.admin`."""

    @call
    async def rotate_keys(self) -> KeyRotation:
        """Replace the key that encrypts the keys of all secrets."""
        return cast("KeyRotation", await self._http.call("POST", join("admin", "rotate-keys"), timeout=_SLOW))
