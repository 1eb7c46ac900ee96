"""The cloud as a whole, and the token in use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, ThePrincipal, documented
from roost.api.metrics import ApiMetrics
from roost.api.shapes import cloud_to_json, principal_to_json

router = APIRouter(route_class=GuardedRoute, dependencies=[documented], tags=["cloud"])


@router.get("/v1/status")
def cloud_status(control: TheControl) -> dict[str, Any]:
    """Return the cloud: identity, ports, edge, pool and counts."""
    return cloud_to_json(control.status())


@router.get("/v1/tokens/current")
def current_token(principal: ThePrincipal) -> dict[str, Any]:
    """Return the token that the request carries."""
    return {"tokens": [principal_to_json(principal)]}


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Return metrics as Prometheus text."""
    found: ApiMetrics = request.app.state.metrics
    return Response(found.render(), media_type=CONTENT_TYPE_LATEST)
