"""Answers without an end: server-sent events of an operation, lines of JSON of a log.

State: none. The invariant: a stream's source is closed when the client goes, whether or not anything
is being sent, and a failure in the middle is told in the stream's own form before it ends.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from roost.api.errors import traceback_text
from roost.model.errors import RoostError

_log = structlog.get_logger("roost.api")
_KEEP_ALIVE = b": still here\n\n"


class LiveResponse(Response):
    """Sends pieces as they come, until they end or the client goes.

    With `keep_alive`, an event-stream comment is sent every so many seconds, so that neither side nor
    a proxy between them takes the silence for death.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], *, media_type: str, keep_alive: float = 0.0) -> None:
        self._pieces = pieces
        self._keep_alive = keep_alive
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        one_at_a_time = anyio.Lock()

        async def put(piece: bytes) -> None:
            async with one_at_a_time:
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        async def keep_alive() -> None:
            while True:
                await anyio.sleep(self._keep_alive)
                await put(_KEEP_ALIVE)

        finished = False
        try:
            async with aclosing(self._pieces), anyio.create_task_group() as group:
                group.start_soon(until_gone)
                if self._keep_alive:
                    group.start_soon(keep_alive)
                async for piece in self._pieces:
                    await put(piece)
                finished = True
                group.cancel_scope.cancel()
        except* OSError:
            finished = False  # the client went away: nobody is left to tell
        if finished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(kind: str, data: Mapping[str, Any], number: int = 0) -> bytes:
    """Return one server-sent event (HTML standard, section 9.2); `number` is its id, to continue after it."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def line(data: Mapping[str, Any]) -> bytes:
    """Return one line of JSON."""
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def failure(error: Exception) -> dict[str, str]:
    """Return how a stream that failed in the middle says so; what is unexpected goes to the log only."""
    if isinstance(error, RoostError):
        return error.to_json()
    _log.error("stream failed", traceback=traceback_text(error))
    return {"error": "something went wrong inside Roost", "status": "unknown", "hint": "look at roostd's log"}


@asynccontextmanager
async def closing_source(source: AsyncIterator[object]) -> AsyncGenerator[None]:
    """Close `source` at the end of the block, if it can be closed (an async generator can)."""
    try:
        yield
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await close()
