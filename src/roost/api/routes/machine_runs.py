"""Runs of scheduled machines."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.machine_shapes import run_to_json
from roost.api.reading import AppName, MachineId, run_id

router = APIRouter(
    prefix="/v1/apps/{app}/machines", route_class=GuardedRoute, dependencies=[documented], tags=["machines"]
)


@router.get("/{machine_id}/runs")
def list_runs(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> dict[str, Any]:
    """List the runs of a machine with a schedule, newest first."""
    found = control.schedules.runs(app, machine_id, before=run_id(cursor), limit=limit + 1)
    more, shown = len(found) > limit, found[:limit]
    return {"runs": [run_to_json(run) for run in shown], "next_cursor": shown[-1].id if more else ""}
