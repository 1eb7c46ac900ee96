"""Metadata of machines: words of their owner's, changed without a new version and without a restart."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import MetadataChanges, MetadataValue
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName, MachineId, moment
from roost.control.contract import Control
from roost.model.errors import NotFound
from roost.plan.metadata import MAX_KEY

router = APIRouter(
    prefix="/v1/apps/{app}/machines/{machine_id}/metadata",
    route_class=GuardedRoute,
    dependencies=[documented],
    tags=["machines"],
)
Key = Annotated[str, Path(min_length=1, max_length=MAX_KEY, pattern=r"^[^\x00]+$")]


@router.get("")
def get_metadata(app: AppName, machine_id: MachineId, control: TheControl) -> dict[str, str]:
    """Return all of the machine's metadata."""
    return dict(control.machines.get(app, machine_id).config.metadata)


@router.put("")
async def put_metadata(
    app: AppName, machine_id: MachineId, body: MetadataChanges, control: TheControl, long_calls: TheLongCalls
) -> dict[str, str]:
    """Set and (null or "") remove several keys at once; the others stay."""
    return await long_calls.run(lambda: _edit(control, app, machine_id, body))


@router.patch("")
async def patch_metadata(
    app: AppName, machine_id: MachineId, body: MetadataChanges, control: TheControl, long_calls: TheLongCalls
) -> dict[str, str]:
    """Set and (null or "") remove several keys at once; the others stay."""
    return await long_calls.run(lambda: _edit(control, app, machine_id, body))


def _edit(control: Control, app: str, machine_id: str, body: MetadataChanges) -> dict[str, str]:
    machine = control.updates.edit_metadata(
        app,
        machine_id,
        body.metadata,
        version=body.machine_version or "",
        unchanged_since=moment(body.updated_at, time.time()) if body.updated_at else None,
    )
    return dict(machine.config.metadata)


@router.get("/{key}")
def get_metadata_key(app: AppName, machine_id: MachineId, key: Key, control: TheControl) -> dict[str, str]:
    """Return one value."""
    metadata = control.machines.get(app, machine_id).config.metadata
    if key not in metadata:
        raise NotFound("metadata key not found", hint="GET .../metadata shows all")
    return {"value": metadata[key]}


@router.post("/{key}", status_code=204)
async def set_metadata_key(
    app: AppName, machine_id: MachineId, key: Key, body: MetadataValue, control: TheControl, long_calls: TheLongCalls
) -> Response:
    """Set one value."""
    await long_calls.run(lambda: control.updates.edit_metadata(app, machine_id, {key: body.value}))
    return Response(status_code=204)


@router.delete("/{key}", status_code=204)
async def remove_metadata_key(
    app: AppName, machine_id: MachineId, key: Key, control: TheControl, long_calls: TheLongCalls
) -> Response:
    """Remove one key; one that isn't there is no error."""
    await long_calls.run(lambda: control.updates.edit_metadata(app, machine_id, {key: None}))
    return Response(status_code=204)
