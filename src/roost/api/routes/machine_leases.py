"""Leases on machines."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from roost.api.auth import GuardedRoute, TheControl, ThePrincipal, documented
from roost.api.bodies import NewLease
from roost.api.leasing import DEFAULT_TTL, LeaseNonce
from roost.api.machine_shapes import lease_to_json
from roost.api.reading import AppName, MachineId
from roost.plan.leases import holds

router = APIRouter(
    prefix="/v1/apps/{app}/machines/{machine_id}",
    route_class=GuardedRoute,
    dependencies=[documented],
    tags=["machines"],
)


@router.get("/lease")
def get_lease(app: AppName, machine_id: MachineId, control: TheControl, nonce: LeaseNonce = "") -> dict[str, Any]:
    """Return the lease; its nonce only to one who sends it."""
    lease = control.leases.get(app, machine_id)
    return lease_to_json(lease, nonce=holds(lease, nonce))


@router.post("/lease", status_code=201)
def acquire_lease(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    principal: ThePrincipal,
    body: NewLease | None = None,
    ttl: Annotated[int, Query(ge=0, le=86_400)] = 0,
    nonce: LeaseNonce = "",
) -> dict[str, Any]:
    """Take the machine for `ttl` seconds (30 unless told), or with the nonce hold it for so much longer."""
    body = body or NewLease()
    lease = control.leases.acquire(
        app,
        machine_id,
        ttl=float(body.ttl or ttl or DEFAULT_TTL),
        owner=principal.name,
        description=body.description,
        nonce=nonce,
    )
    return lease_to_json(lease, nonce=True)


@router.delete("/lease")
def release_lease(app: AppName, machine_id: MachineId, control: TheControl, nonce: LeaseNonce = "") -> dict[str, Any]:
    """Give the lease back; the nonce is needed."""
    control.leases.release(app, machine_id, nonce)
    return {"ok": True, "status": "success", "message": "", "code": ""}
