"""Volumes and their snapshots: the Fly Machines API's calls (reference, section 1.6)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import ChangedVolume, ExtendedVolume, NewVolume
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName, VolumeId
from roost.api.shapes import snapshot_to_json, volume_to_json
from roost.control.contract import Control
from roost.model.volume import DEFAULT_RETENTION, Volume, check_snapshot_id, check_volume_id

router = APIRouter(
    prefix="/v1/apps/{app}/volumes", route_class=GuardedRoute, dependencies=[documented], tags=["volumes"]
)


def _full(control: Control, volume: Volume) -> dict[str, Any]:
    return volume_to_json(volume, control.volumes.usage(volume))


@router.get("")
def list_volumes(app: AppName, control: TheControl, summary: bool = False) -> list[dict[str, Any]]:
    """List the volumes; `summary` drops how full they are."""
    found = control.volumes.list(app)
    return [volume_to_json(volume) if summary else _full(control, volume) for volume in found]


@router.post("")
async def create_volume(app: AppName, body: NewVolume, control: TheControl, long_calls: TheLongCalls) -> dict[str, Any]:
    """Make a volume: empty, from a snapshot, or as a fork of another volume of the app, which may be in use."""
    snapshot, source = body.snapshot_id or "", body.source_volume_id or ""
    if snapshot:
        check_snapshot_id(snapshot)
    if source:
        check_volume_id(source)

    def create() -> dict[str, Any]:
        volume = control.volumes.create(
            app,
            body.name,
            size_gb=body.size_gb or 0,
            region=body.region,
            snapshot_id=snapshot,
            source_volume_id=source,
            snapshot_retention=body.snapshot_retention or DEFAULT_RETENTION,
            auto_backup_enabled=body.auto_backup_enabled is not False,
        )
        return _full(control, volume)

    return await long_calls.run(create)


@router.get("/{volume_id}")
def get_volume(app: AppName, volume_id: VolumeId, control: TheControl) -> dict[str, Any]:
    """Return a volume and how full it is."""
    return _full(control, control.volumes.get(app, volume_id))


@router.put("/{volume_id}")
def update_volume(app: AppName, volume_id: VolumeId, body: ChangedVolume, control: TheControl) -> dict[str, Any]:
    """Change how it is backed up."""
    changed = control.volumes.update(
        app,
        volume_id,
        snapshot_retention=body.snapshot_retention,
        auto_backup_enabled=body.auto_backup_enabled,
    )
    return _full(control, changed)


@router.delete("/{volume_id}")
async def destroy_volume(
    app: AppName, volume_id: VolumeId, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Remove a volume for good; 412 while a machine has it. Its snapshots stay."""
    return volume_to_json(await long_calls.run(lambda: control.volumes.destroy(app, volume_id)))


@router.put("/{volume_id}/extend")
async def extend_volume(
    app: AppName, volume_id: VolumeId, body: ExtendedVolume, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Make a volume larger, in use or not."""
    volume, needs_restart = await long_calls.run(lambda: control.volumes.extend(app, volume_id, body.size_gb))
    return {"volume": volume_to_json(volume), "needs_restart": needs_restart}


@router.get("/{volume_id}/snapshots")
def list_snapshots(app: AppName, volume_id: VolumeId, control: TheControl) -> list[dict[str, Any]]:
    """List a volume's snapshots, newest first, also when the volume is gone."""
    return [snapshot_to_json(snapshot) for snapshot in control.volumes.snapshots(app, volume_id)]


@router.post("/{volume_id}/snapshots")
async def create_snapshot(
    app: AppName, volume_id: VolumeId, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Keep what the volume holds now."""
    return snapshot_to_json(await long_calls.run(lambda: control.volumes.snapshot(app, volume_id)))
