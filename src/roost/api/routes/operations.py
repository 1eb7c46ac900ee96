"""Operations: to poll, to follow as server-sent events, to cancel."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheAccess, TheControl, TheLimits, documented
from roost.api.reading import OperationId
from roost.api.shapes import operation_to_json, progress_to_json
from roost.api.streams import LiveResponse, closing_source, event, failure
from roost.control.contract import Control
from roost.model.identity import Action
from roost.model.names import check_app_name
from roost.plan.access import CLOUD

router = APIRouter(prefix="/v1/operations", route_class=GuardedRoute, dependencies=[documented], tags=["operations"])


@router.get("")
def list_operations(control: TheControl, access: TheAccess, app: str = "") -> list[dict[str, Any]]:
    """List the operations of an app, or of all apps that the token sees, newest first."""
    if access.may(Action.READ, CLOUD):
        found = control.operations.list(check_app_name(app) if app else None)
    else:
        names = [seen.name for seen in control.apps.list() if access.sees(seen.org, seen.name)]
        names = [name for name in names if not app or name == check_app_name(app)]
        of_each = [operation for name in names for operation in control.operations.list(name)]
        found = sorted(of_each, key=lambda operation: operation.id, reverse=True)[:100]
    return [operation_to_json(operation) for operation in found]


@router.get("/{operation_id}")
def get_operation(operation_id: OperationId, control: TheControl) -> dict[str, Any]:
    """Return an operation."""
    return operation_to_json(control.operations.get(operation_id))


@router.post("/{operation_id}/cancel")
def cancel_operation(operation_id: OperationId, control: TheControl) -> dict[str, Any]:
    """Ask an operation to end and undo what it did."""
    return operation_to_json(control.operations.cancel(operation_id))


@router.get("/{operation_id}/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def follow_operation(
    operation_id: OperationId,
    control: TheControl,
    limits: TheLimits,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[str, Header()] = "",
) -> LiveResponse:
    """Follow an operation: `step` and `log` events, then `done` with the operation in it."""
    await anyio.to_thread.run_sync(control.operations.get, operation_id)  # unknown: a 404, not a broken stream
    seen = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 16 else 0
    events = _events(control, operation_id, max(after, seen))
    return LiveResponse(events, media_type="text/event-stream", keep_alive=limits.keep_alive)


async def _events(control: Control, operation_id: str, after: int) -> AsyncGenerator[bytes]:
    source = control.operations.follow(operation_id, after)
    async with closing_source(source):
        try:
            async for progress in source:
                data = progress_to_json(progress)
                if progress.kind == "done":
                    operation = await anyio.to_thread.run_sync(control.operations.get, operation_id)
                    data["operation"] = operation_to_json(operation)
                yield event(progress.kind, data, progress.number)
                if progress.kind == "done":
                    return
        except Exception as error:
            yield event("error", failure(error))
