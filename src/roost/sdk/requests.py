"""Calls about the requests that the edge served for an app, or refused."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from roost.model.errors import TimedOut
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.group import Group, M, call, stream
from roost.sdk.shapes import RequestLine, RequestSummary
from roost.sdk.transport import Query, join

_SILENCE = 3600.0  # seconds; an app that nobody calls is no error
_PAUSE = 0.2  # seconds between two streams
_RESUME_LIMIT = 10_000  # requests that a dropped connection may have missed
_LINE_LIMIT = 1 << 20  # bytes


class Requests(Group[M]):
    """`client.requests`."""

    @stream
    async def read(
        self,
        app: str,
        *,
        status: str = "",
        path: str = "",
        slow: float = 0.0,
        machine: str = "",
        errors: bool = False,
        since: float = 0.0,
        limit: int = 100,
    ) -> AsyncGenerator[RequestLine, None]:
        """Yield the last `limit` requests that fit all that is asked, oldest first.

        `status` is like "5xx" or "404", `path` a prefix, `slow` milliseconds at least, `since` a Unix time.
        """
        query = _query(status, path, slow, machine, errors, since) | {"limit": limit}
        async with aclosing(self._lines(app, query, silence=60.0)) as lines:
            async for line in lines:
                yield line

    @stream
    async def follow(
        self,
        app: str,
        *,
        status: str = "",
        path: str = "",
        slow: float = 0.0,
        machine: str = "",
        errors: bool = False,
        since: float = 0.0,
        limit: int = 100,
    ) -> AsyncGenerator[RequestLine, None]:
        """Yield the last requests and then new ones, until the caller stops. Goes on after a dropped connection."""
        wanted = _query(status, path, slow, machine, errors, since) | {"follow": True}
        query = wanted | {"limit": limit}
        cursor = 0
        while True:
            try:
                async with aclosing(self._lines(app, query, silence=_SILENCE)) as lines:
                    async for line in lines:
                        cursor = line["cursor"]
                        yield line
            except (Unreachable, TimedOut):
                if not cursor:
                    raise
            await self._http.call("GET", "/healthz")  # raises when the cloud is gone for good
            await self._http.wire.sleep(_PAUSE)
            query = wanted | {"limit": _RESUME_LIMIT} | ({"after": cursor} if cursor else {})

    @call
    async def summary(self, app: str) -> RequestSummary:
        """Return rates, errors by class and percentiles of the last minute, five minutes and hour."""
        return cast("RequestSummary", await self._http.call("GET", join("apps", app, "requests", "summary")))

    async def _lines(self, app: str, query: Query, *, silence: float) -> AsyncGenerator[RequestLine, None]:
        path = join("apps", app, "requests")
        async with aclosing(self._http.lines(path, query=query, silence=silence)) as lines:
            async for text in lines:
                if not text.strip() or len(text) > _LINE_LIMIT:
                    continue
                line = json.loads(text)
                if "cursor" not in line:
                    raise error_from_answer(500, text.encode(), {}, request=f"GET {path}")
                yield cast("RequestLine", line)


def _query(
    status: str, path: str, slow: float, machine: str, errors: bool, since: float
) -> dict[str, str | int | float | bool | list[str] | None]:
    return {
        "status": status, "path": path, "slow": slow or None, "machine": machine, "errors": errors or None,
        "since": since or None,
    }  # fmt: skip
