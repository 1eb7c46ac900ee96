"""Requests of an app as the edge saw them: a log that can be followed, and percentiles."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, TheLimits, documented
from roost.api.reading import AppName, moment
from roost.api.shapes_requests import request_to_json, summary_to_json
from roost.api.streams import LiveResponse, closing_source, event, failure, line
from roost.control.contract_requests import RequestEntry
from roost.model.names import check_machine_id
from roost.model.request import RequestFilter

router = APIRouter(
    prefix="/v1/apps/{app}/requests", route_class=GuardedRoute, dependencies=[documented], tags=["requests"]
)
_EVENTS = "text/event-stream"
_FARTHEST = (1 << 62) - 1  # bytes
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {}, _EVENTS: {}}}}


@router.get("", response_class=Response, responses=_ANSWERS)
async def app_requests(
    app: AppName,
    control: TheControl,
    limits: TheLimits,
    since: str = "",
    status: Annotated[str, Query(pattern=r"^([1-5]xx|[1-5][0-9]{2}|)$")] = "",
    path: Annotated[str, Query(max_length=1024)] = "",
    slow: Annotated[float, Query(ge=0, le=1e9)] = 0.0,
    machine: str = "",
    errors: bool = False,
    after: Annotated[int, Query(ge=-1, le=_FARTHEST)] = -1,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    follow: bool = False,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str, Header()] = "",
) -> LiveResponse:
    """Return the latest `limit` requests that fit and, with `follow`, new ones: lines of JSON, or events if asked."""
    start = moment(since, time.time())
    if machine:
        await anyio.to_thread.run_sync(control.machines.get, app, check_machine_id(machine))
    else:
        await anyio.to_thread.run_sync(control.apps.get, app)
    wanted = RequestFilter(status, path, slow, start, machine, errors)
    as_events = _EVENTS in accept.lower()
    if as_events and last_event_id.isdecimal() and len(last_event_id) < 18:
        after = max(after, int(last_event_id))
    entries = control.requests.follow(app, wanted, after=after, limit=limit, follow=follow)
    return LiveResponse(
        _pieces(entries, as_events),
        media_type=_EVENTS if as_events else "application/x-ndjson",
        keep_alive=limits.keep_alive if as_events else 0.0,
    )


@router.get("/summary")
def requests_summary(app: AppName, control: TheControl) -> dict[str, Any]:
    """Return rates, errors by class and percentiles of the last minute, five minutes and hour."""
    return summary_to_json(control.requests.summary(app))


async def _pieces(entries: AsyncIterator[RequestEntry], as_events: bool) -> AsyncGenerator[bytes]:
    async with closing_source(entries):
        try:
            async for entry in entries:
                told = request_to_json(entry)
                yield event("request", told, entry.cursor) if as_events else line(told)
            if as_events:
                yield event("done", {})
        except Exception as error:
            yield event("error", failure(error)) if as_events else line(failure(error))
