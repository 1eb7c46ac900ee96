"""The platform as a whole: an org's machines and volumes in all its apps, regions, and where machines could be made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from roost.api.auth import GuardedRoute, TheAccess, TheControl, documented
from roost.api.bodies import Placement
from roost.api.errors import Json
from roost.api.listing import listed
from roost.api.machine_shapes import regions_to_json
from roost.api.reading import cursor_of, moment, position_of, states, volume_states
from roost.api.shapes import time_to_json, volume_to_json
from roost.model.listing import OrgListing
from roost.model.machine import Machine, MachineState
from roost.model.volume import Volume, VolumeState

router = APIRouter(prefix="/v1", route_class=GuardedRoute, dependencies=[documented], tags=["platform"])


_PRECISION = 1e-6  # seconds, of times as they are written: `updated_after` what a listing ended with begins after that
Slug = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


@router.get("/platform/certificate_authority", response_model=dict[str, Any])
def get_certificate_authority(control: TheControl) -> dict[str, Any]:
    """Return the certificate of the cloud's own authority, for clients to trust while its domain has no other.

    `needed` is false when all its names have public certificates; `why` says that, or how long it is needed.
    """
    trust = control.certificates.trust()
    return {"pem": control.certificates.authority(), "needed": trust.needed, "why": trust.why}


def _asked_page(
    slug: Slug,
    region: str = "",
    include_deleted: bool = False,
    updated_after: str = "",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> OrgListing:
    """Return what of an org's listing is asked for, in all states."""
    later = moment(updated_after, time.time()) + _PRECISION if updated_after else 0.0
    after = max(position_of(cursor) if cursor else (0.0, ""), (later, ""))
    return OrgListing(slug, after, region=region, limit=limit, destroyed=include_deleted)


Page = Annotated[OrgListing, Depends(_asked_page)]


def _in_states(page: OrgListing, wanted: frozenset[str], destroyed: str) -> OrgListing:
    """Return what to look up for a page: these states, and one row more, which tells if there is a next page."""
    return replace(page, states=wanted, limit=page.limit + 1, destroyed=page.destroyed or destroyed in wanted)


@router.get("/orgs/{slug}/machines", response_model=dict[str, Any])
def list_org_machines(
    slug: Slug,
    control: TheControl,
    access: TheAccess,
    page: Page,
    state: Annotated[list[str], Query()] = [],  # noqa: B006
    summary: bool = False,
) -> Json:
    """List the org's machines, the longest unchanged first; with `include_deleted` those destroyed lately too."""
    found = control.machines.of_org(_in_states(page, states(state), MachineState.DESTROYED))
    seen = [machine for machine in found[: page.limit] if access.sees(slug, machine.app)]
    rows = listed(control, seen, summary=summary)
    for machine, row in zip(seen, rows, strict=True):
        row["app_name"] = machine.app
    return Json({"machines": rows, **_ends(found, seen, page.limit, "last_machine_id"), "error_regions": []})


@router.get("/orgs/{slug}/volumes", response_model=dict[str, Any])
def list_org_volumes(
    slug: Slug,
    control: TheControl,
    access: TheAccess,
    page: Page,
    state: Annotated[list[str], Query()] = [],  # noqa: B006
    summary: bool = False,
) -> Json:
    """List the org's volumes, the longest unchanged first; `summary` drops how full they are."""
    found = control.volumes.of_org(_in_states(page, volume_states(state), VolumeState.DESTROYED))
    seen = [volume for volume in found[: page.limit] if access.sees(slug, volume.app)]
    rows = []
    for volume in seen:
        short = summary or volume.state is VolumeState.DESTROYED
        row = volume_to_json(volume, None if short else control.volumes.usage(volume))
        rows.append(row | {"app_name": volume.app})
    return Json({"volumes": rows, **_ends(found, seen, page.limit, "last_volume_id")})


_Rows = Sequence[Machine] | Sequence[Volume]


def _ends(found: _Rows, seen: _Rows, limit: int, last_id: str) -> dict[str, Any]:
    """Return where a page ends and the next one begins: of what was found, one more than fits, some is `seen`."""
    end = found[limit - 1] if len(found) > limit else None
    last = seen[-1] if seen else None
    return {
        "next_cursor": cursor_of((end.updated_at, end.id)) if end else "",
        last_id: last.id if last else "",
        "last_updated_at": time_to_json(last.updated_at, "microseconds") if last else "",
    }


@router.get("/platform/regions")
def list_regions(control: TheControl) -> dict[str, Any]:
    """List the regions: a cloud has one."""
    return regions_to_json(control.region)


@router.post("/platform/placements")
def place(body: Placement, control: TheControl) -> dict[str, Any]:
    """Say where so many machines could be made."""
    return {"regions": [{"region": control.region, "count": body.count, "concurrency": body.count}]}
