"""The platform as a whole: an org's machines in all its apps, regions, and where machines could be made."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from roost.api.auth import GuardedRoute, TheAccess, TheControl, documented
from roost.api.bodies import Placement
from roost.api.errors import Json
from roost.api.machine_shapes import regions_to_json
from roost.api.reading import cursor_of, moment, position_of, states
from roost.api.routes.machines import listed
from roost.api.shapes import time_to_json

router = APIRouter(prefix="/v1", route_class=GuardedRoute, dependencies=[documented], tags=["platform"])


@router.get("/platform/certificate_authority", response_model=dict[str, Any])
def get_certificate_authority(control: TheControl) -> dict[str, Any]:
    """Return the certificate of the cloud's own authority, for clients to trust while a domain has no other."""
    return {"pem": control.certificates.authority()}


@router.get("/orgs/{slug}/machines", response_model=dict[str, Any])
def list_org_machines(
    slug: Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")],
    control: TheControl,
    access: TheAccess,
    state: Annotated[list[str], Query()] = [],  # noqa: B006
    region: str = "",
    summary: bool = False,
    include_deleted: bool = False,  # noqa: ARG001
    updated_after: str = "",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Json:
    """List the org's machines, the longest unchanged first. A destroyed machine is in no listing."""
    after = max(position_of(cursor) if cursor else (0.0, ""), (moment(updated_after, time.time()), ""))
    found = control.machines.of_org(slug, after=after, states=states(state), region=region, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    last = found[-1] if found else None
    found = [machine for machine in found if access.sees(slug, machine.app)]
    answer = {
        "machines": [
            shown | {"app_name": machine.app}
            for machine, shown in zip(found, listed(control, found, summary=summary), strict=True)
        ],
        "next_cursor": cursor_of((last.updated_at, last.id)) if last and more else "",
        "last_machine_id": last.id if last else "",
        "last_updated_at": time_to_json(last.updated_at) if last else "",
        "error_regions": [],
    }
    return Json(answer)


@router.get("/platform/regions")
def list_regions(control: TheControl) -> dict[str, Any]:
    """List the regions: a cloud has one."""
    return regions_to_json(control.region)


@router.post("/platform/placements")
def place(body: Placement, control: TheControl) -> dict[str, Any]:
    """Say where so many machines could be made."""
    return {"regions": [{"region": control.region, "count": body.count, "concurrency": body.count}]}
