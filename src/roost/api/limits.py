"""How much a client may send, and how long it may take.

State: none. The invariant: a handler never holds more of a request than its bound, and never waits
longer than `silence` seconds for the next piece of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from roost.model.errors import RoostError, TimedOut


class TooLarge(RoostError):
    """The body is larger than this call takes."""

    status = 413
    code = "too_large"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of requests and streams. Sizes are bytes, times are seconds."""

    json_body: int = 4 * 2**20
    source_body: int = 2 * 2**30  # compressed
    silence: float = 30.0  # between two pieces of a request's body
    keep_alive: float = 15.0  # between two comments on a silent event stream
    console_write: float = 30.0  # for a console's process to take what was typed
    exec_timeout: float = 3600.0
    stop_timeout: float = 300.0
    long_calls: int = 128  # blocking calls on machines at once
    long_calls_waiting: int = 512


def refuse_size(request: Request, bound: int) -> None:
    """Raise TooLarge when the body says beforehand that it is larger than `bound` bytes."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > bound:
        raise _too_large(bound)


def bounded(receive: Receive, bound: int, silence: float) -> Receive:
    """Return `receive`, raising TooLarge after `bound` bytes and TimedOut after `silence` seconds of none."""
    received = 0
    finished = False

    async def limited() -> Message:
        nonlocal received, finished
        if finished:  # the body is read: what comes now is the client's going, whenever it pleases
            return await receive()
        message = await _next(receive, silence)
        received += len(message.get("body", b""))
        finished = message["type"] != "http.request" or not message.get("more_body", False)
        if received > bound:
            raise _too_large(bound)
        return message

    return limited


async def body_chunks(request: Request, bound: int, silence: float) -> AsyncIterator[bytes]:
    """Yield the body piece by piece; raises TooLarge, TimedOut, or ClientDisconnect when the client goes."""
    receive = bounded(request.receive, bound, silence)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def _next(receive: Receive, silence: float) -> Message:
    try:
        with anyio.fail_after(silence):
            return await receive()
    except TimeoutError:
        raise TimedOut(
            f"the rest of the request's body did not come within {silence:g} s", hint="send it again"
        ) from None


def _too_large(bound: int) -> TooLarge:
    size = f"{bound // 2**20} MiB" if bound >= 2**20 else f"{bound} bytes"
    return TooLarge(f"the request's body is larger than {size}", hint="leave out what the call does not need")
