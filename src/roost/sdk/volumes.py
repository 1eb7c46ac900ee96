"""Calls about volumes: named disks that outlive machines, and their snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from roost.sdk.group import Group, M, call
from roost.sdk.shapes import Snapshot, Volume
from roost.sdk.transport import join

_SLOW = 180.0  # seconds: what is not written yet is written before a copy is taken


class Volumes(Group[M]):
    """`client.volumes`."""

    @call
    async def get(self, app: str, volume_id: str) -> Volume:
        """Return a volume and how full it is; raises NotFound."""
        return cast("Volume", await self._http.call("GET", join("apps", app, "volumes", volume_id)))

    @call
    async def create(
        self,
        app: str,
        name: str,
        *,
        size_gb: int = 0,
        snapshot_id: str = "",
        source_volume_id: str = "",
        snapshot_retention: int = 0,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        """Make a volume: empty, from a snapshot, or as a fork of one that may be in use. 0 is the default."""
        given: dict[str, Any] = {
            "size_gb": size_gb,
            "snapshot_id": snapshot_id,
            "source_volume_id": source_volume_id,
            "snapshot_retention": snapshot_retention,
        }
        body = {"name": name} | {key: value for key, value in given.items() if value}
        if auto_backup_enabled is not None:
            body["auto_backup_enabled"] = auto_backup_enabled
        return cast("Volume", await self._http.call("POST", join("apps", app, "volumes"), body=body, timeout=_SLOW))

    @call
    async def update(
        self, app: str, volume_id: str, *, snapshot_retention: int = 0, auto_backup_enabled: bool | None = None
    ) -> Volume:
        """Change how it is backed up; 0 and None leave a thing as it is."""
        body: dict[str, Any] = {"snapshot_retention": snapshot_retention} if snapshot_retention else {}
        if auto_backup_enabled is not None:
            body["auto_backup_enabled"] = auto_backup_enabled
        return cast("Volume", await self._http.call("PUT", join("apps", app, "volumes", volume_id), body=body))

    @call
    async def extend(self, app: str, volume_id: str, size_gb: int) -> dict[str, Any]:
        """Make it larger; the answer has `volume` and `needs_restart`."""
        path = join("apps", app, "volumes", volume_id, "extend")
        return cast("dict[str, Any]", await self._http.call("PUT", path, body={"size_gb": size_gb}, timeout=_SLOW))

    @call
    async def destroy(self, app: str, volume_id: str) -> None:
        """Remove it for good; raises FailedPrecondition while a machine has it."""
        await self._http.call("DELETE", join("apps", app, "volumes", volume_id), timeout=_SLOW)

    @call
    async def snapshots(self, app: str, volume_id: str) -> Sequence[Snapshot]:
        """Return its snapshots, newest first, also when the volume is gone."""
        path = join("apps", app, "volumes", volume_id, "snapshots")
        return cast("Sequence[Snapshot]", await self._http.call("GET", path))

    @call
    async def snapshot(self, app: str, volume_id: str) -> Snapshot:
        """Keep what it holds now."""
        path = join("apps", app, "volumes", volume_id, "snapshots")
        return cast("Snapshot", await self._http.call("POST", path, timeout=_SLOW))

    @call
    async def list(self, app: str) -> list[Volume]:
        """Return an app's volumes, oldest first."""
        return cast("list[Volume]", await self._http.call("GET", join("apps", app, "volumes")))
