"""The cloud as a whole, and the token in use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheAccess, TheControl, ThePrincipal, documented
from roost.api.identity_shapes import principal_to_json
from roost.api.metrics import ApiMetrics
from roost.api.shapes import cloud_to_json
from roost.api.shapes_domain import standing_to_json
from roost.model.identity import Action
from roost.plan.access import CLOUD

router = APIRouter(route_class=GuardedRoute, dependencies=[documented], tags=["cloud"])


@router.get("/v1/status")
def cloud_status(control: TheControl, access: TheAccess) -> dict[str, Any]:
    """Return the cloud: identity, ports, edge, pool and counts; to a token of an org, no counts of others."""
    status = control.status()
    if not access.may(Action.READ, CLOUD):
        seen = sum(access.sees(app.org, app.name) for app in control.apps.list())
        status = replace(status, apps=seen, machines_by_state={}, certificate=None)
    told = standing_to_json(status.certificate) if status.certificate is not None else None
    return cloud_to_json(status) | {"certificate": told}


@router.get("/v1/tokens/current")
def current_token(principal: ThePrincipal) -> dict[str, Any]:
    """Return the token that the request carries."""
    return {"tokens": principal_to_json(principal)}


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Return metrics as Prometheus text."""
    found: ApiMetrics = request.app.state.metrics
    return Response(found.render(), media_type=CONTENT_TYPE_LATEST)
