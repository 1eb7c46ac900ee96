"""Logs of an app's machines, as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.reading import AppName, moment
from roost.api.shapes import log_to_json
from roost.api.streams import LiveResponse, closing_source, failure, line
from roost.control.contract import LogEntry
from roost.model.names import check_machine_id

router = APIRouter(prefix="/v1/apps/{app}/logs", route_class=GuardedRoute, dependencies=[documented], tags=["logs"])


@router.get("", response_class=Response, responses={200: {"content": {"application/x-ndjson": {}}}})
async def app_logs(
    app: AppName,
    control: TheControl,
    since: str = "",
    machine: str = "",
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    follow: bool = False,
) -> LiveResponse:
    """Return the latest `limit` lines since a time and, with `follow`, new ones as they come."""
    start = moment(since, time.time())
    if machine:
        await anyio.to_thread.run_sync(control.machines.get, app, check_machine_id(machine))
    else:
        await anyio.to_thread.run_sync(control.apps.get, app)  # so that an unknown app is a 404, not a broken stream
    entries = control.logs.follow(app, machine=machine, since=start, limit=limit, follow=follow)
    return LiveResponse(_lines(entries), media_type="application/x-ndjson")


async def _lines(entries: AsyncIterator[LogEntry]) -> AsyncGenerator[bytes]:
    async with closing_source(entries):
        try:
            async for entry in entries:
                yield line(log_to_json(entry))
        except Exception as error:
            yield line(failure(error))
