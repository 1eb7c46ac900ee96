"""What a machine was and what goes on in it: versions, processes, memory; and whether requests reach it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import MemoryLimit, ReclaimedMemory
from roost.api.leasing import TheHolder
from roost.api.long_calls import TheLongCalls
from roost.api.machine_shapes import SORTS, memory_to_json, processes_to_json, version_to_json
from roost.api.reading import AppName, MachineId
from roost.model.errors import BadInput

router = APIRouter(
    prefix="/v1/apps/{app}/machines/{machine_id}",
    route_class=GuardedRoute,
    dependencies=[documented],
    tags=["machines"],
)


@router.get("/versions")
def list_versions(app: AppName, machine_id: MachineId, control: TheControl) -> list[dict[str, Any]]:
    """List the configurations it has had, newest first."""
    return [version_to_json(version) for version in control.updates.versions(app, machine_id)]


@router.get("/ps")
async def list_processes(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    long_calls: TheLongCalls,
    sort_by: str = "",
    order: str = "",
) -> list[dict[str, Any]]:
    """List what runs in it, with the sockets that it listens on."""
    if (sort_by or "pid") not in SORTS:
        raise BadInput(f"sort_by must be one of {', '.join(SORTS)}")
    if (order or "asc") not in ("asc", "desc"):
        raise BadInput("order must be asc or desc")
    found = await long_calls.run(lambda: control.machines.processes(app, machine_id))
    return processes_to_json(found, sort_by or "pid", order)


@router.get("/memory")
def get_memory(app: AppName, machine_id: MachineId, control: TheControl) -> dict[str, Any]:
    """Return how much memory it may use now, and how much of it is left."""
    return memory_to_json(control.machines.memory(app, machine_id))


@router.put("/memory")
async def set_memory(
    app: AppName, machine_id: MachineId, body: MemoryLimit, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Let it use so much memory until its next start, at most as much as it is configured for."""
    return memory_to_json(await long_calls.run(lambda: control.machines.set_memory(app, machine_id, body.limit_mb)))


@router.post("/memory/reclaim")
async def reclaim_memory(
    app: AppName, machine_id: MachineId, body: ReclaimedMemory, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Take back memory that the machine can do without, such as cached files."""
    taken = await long_calls.run(lambda: control.machines.reclaim_memory(app, machine_id, body.amount_mb))
    return {"actual_mb": taken}


@router.post("/cordon")
async def cordon_machine(
    app: AppName, machine_id: MachineId, control: TheControl, holder: TheHolder, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Keep requests from it, without stopping it."""
    await long_calls.run(holder.may(lambda: control.machines.set_cordoned(app, machine_id, True)))
    return {"ok": True}


@router.post("/uncordon")
async def uncordon_machine(
    app: AppName, machine_id: MachineId, control: TheControl, holder: TheHolder, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Let requests reach it again."""
    await long_calls.run(holder.may(lambda: control.machines.set_cordoned(app, machine_id, False)))
    return {"ok": True}
