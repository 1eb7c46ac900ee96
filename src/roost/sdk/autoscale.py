"""Calls about autoscaling: policies by process group, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from roost.sdk.group import Group, M, call
from roost.sdk.transport import join


class Autoscale(Group[M]):
    """`client.autoscale`."""

    @call
    async def show(self, app: str, *, limit: int = 50) -> dict[str, Any]:
        """Return `groups` with their policies and how they stand, and the latest `decisions`, newest first."""
        query = {"limit": str(limit)}
        return cast("dict[str, Any]", await self._http.call("GET", join("apps", app, "autoscale"), query=query))

    @call
    async def set(self, app: str, group: str, policy: Mapping[str, Any]) -> dict[str, Any]:
        """Set a group's policy, with the keys of `[[autoscale]]`; raises BadInput that names the key."""
        path = join("apps", app, "autoscale", group)
        return cast("dict[str, Any]", await self._http.call("PUT", path, body=dict(policy)))

    @call
    async def off(self, app: str, group: str) -> dict[str, Any]:
        """Leave a group's machines as they are from now on."""
        return cast("dict[str, Any]", await self._http.call("DELETE", join("apps", app, "autoscale", group)))
