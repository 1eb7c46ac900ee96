"""Calls of the cloud's operator."""

from __future__ import annotations

from typing import Any, TypedDict, cast

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

    @call
    async def domain(self) -> dict[str, Any]:
        """Return how the public certificates of the cloud's own domain stand, and which DNS records they need."""
        return cast("dict[str, Any]", await self._http.call("GET", join("admin", "domain")))

    @call
    async def check_domain(self) -> dict[str, Any]:
        """Ask DNS now, and have the authority asked again at once; the answer is as `domain`'s."""
        return cast("dict[str, Any]", await self._http.call("POST", join("admin", "domain", "check"), timeout=60.0))
