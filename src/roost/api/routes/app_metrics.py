"""What the programs of an app's machines say of themselves, as Prometheus text."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.reading import AppName

router = APIRouter(prefix="/v1/apps/{app}/metrics", route_class=GuardedRoute, dependencies=[documented], tags=["logs"])
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def app_metrics(app: AppName, control: TheControl) -> Response:
    """Return the latest samples of the app's started machines, with labels that say whose they are."""
    text = await anyio.to_thread.run_sync(control.metrics.text, app)
    return Response(text, media_type=MEDIA_TYPE)
