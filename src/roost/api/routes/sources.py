"""Source directories: received as a gzipped tar, and what they turn out to be."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from roost.api.auth import GuardedRoute, GuardedStreamRoute, TheControl, TheLimits, documented
from roost.api.bodies import NewPlan
from roost.api.limits import body_chunks, refuse_size
from roost.api.long_calls import TheLongCalls
from roost.api.reading import SourceId
from roost.api.shapes import build_plan_to_json, source_to_json
from roost.model.app_config_read import app_config_from_json
from roost.model.app_config_write import app_config_to_json
from roost.model.names import check_app_name

router = APIRouter(prefix="/v1/sources", route_class=GuardedRoute, dependencies=[documented], tags=["deploys"])
upload_router = APIRouter(
    prefix="/v1/sources", route_class=GuardedStreamRoute, dependencies=[documented], tags=["deploys"]
)


@upload_router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/gzip": {"schema": {"type": "string"}}}}},
)
async def receive_source(request: Request, control: TheControl, limits: TheLimits) -> dict[str, Any]:
    """Receive a source directory: a gzipped tar, streamed."""
    refuse_size(request, limits.source_body)
    return source_to_json(await control.sources.receive(body_chunks(request, limits.source_body, limits.silence)))


@router.post("/{source_id}/plan")
async def plan_source(
    source_id: SourceId, control: TheControl, long_calls: TheLongCalls, body: NewPlan | None = None
) -> dict[str, Any]:
    """Detect what the source is, how it would be built, and the configuration to write."""
    body = body or NewPlan()
    config = None if body.config is None else app_config_from_json(body.config)
    if body.name:
        check_app_name(body.name)
    plan, filled, text = await long_calls.run(lambda: control.sources.plan(source_id, config, body.name))
    return {"plan": build_plan_to_json(plan), "config": app_config_to_json(filled), "toml": text}
