"""`Idempotency-Key`: a call that is sent again with the same key is answered as the first time, and done once.

State: the answers of the last day, in a `Replays` (control's, in the store; in memory where there is none),
and the calls under way. The invariant: of calls with one key by one token to one path, at most one is
carried out at a time, and none after one has succeeded. Only successes (2xx) are kept: by contract a call
that failed has changed nothing, so sending it again does it again. The same key with another body or
query is refused. An answer too large to keep is not kept.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from roost.control.contract import Principal, Replays
from roost.model.errors import BadInput, Conflict, Unprocessable
from roost.model.replay import LARGEST_REPLAY, REPLAY_LIFETIME, Kept

HEADER = "idempotency-key"
REPLAYED = "idempotency-replayed"
MAX_KEY = 255  # characters
PATIENCE = 60.0  # seconds that a repeated call waits for the first one to end


class MemoryReplays:
    """Keeps answers in memory, at most `total` bytes of them; the oldest go first."""

    def __init__(self, *, total: int = 16 * 2**20, largest: int = LARGEST_REPLAY) -> None:
        self._total, self._largest = total, largest
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0

    def find(self, key: bytes) -> Kept | None:
        """Return what was kept under a key in the last day."""
        kept = self._kept.get(key)
        return kept if kept and time.time() - kept.at < REPLAY_LIFETIME else None

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer, unless it is larger than the bound for one."""
        if len(kept.body) > self._largest:
            return
        self._forget(key)
        self._kept[key] = kept
        self._bytes += _weight(kept)
        while self._bytes > self._total:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= _weight(kept)


def _weight(kept: Kept) -> int:
    return len(kept.body) + 512  # the entry itself, roughly


class Idempotency:
    """Carries out calls once per key."""

    def __init__(self, replays: Replays | None = None) -> None:
        self._replays = replays or MemoryReplays()
        self._under_way: dict[bytes, anyio.Event] = {}

    async def once(
        self, request: Request, principal: Principal, body: bytes, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the call's answer, or the one that was given before.

        Raises BadInput for a key that can't be one, Unprocessable when the key was used for something
        else, Conflict when the first call is still under way after a minute.
        """
        given = request.headers.get(HEADER)
        if given is None:
            return await answer()
        key = _digest(principal.token_id, request.method, request.url.path, check_key(given))
        asked = _digest(request.url.query, body)
        while (running := self._under_way.get(key)) is not None:
            with anyio.move_on_after(PATIENCE) as scope:
                await running.wait()
            if scope.cancelled_caught:
                raise Conflict("the call with this Idempotency-Key is still under way", hint="try again later")
        done = self._under_way[key] = anyio.Event()
        try:
            kept = await anyio.to_thread.run_sync(self._replays.find, key)
            if kept is not None:
                return replay(kept, asked)
            response = await answer()
            if 200 <= response.status_code < 300:
                media_type = response.headers.get("content-type", "")
                made = Kept(asked, response.status_code, media_type, bytes(response.body), time.time())
                await anyio.to_thread.run_sync(self._replays.keep, key, made)
            return response
        finally:
            del self._under_way[key]
            done.set()


def check_key(key: str) -> str:
    """Return a key that can be one: 1 to 255 printable ASCII characters; else raise BadInput."""
    if 1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable():
        return key
    raise BadInput(f"Idempotency-Key must be 1 to {MAX_KEY} printable characters", hint="use a fresh UUID per call")


def replay(kept: Kept, asked: bytes) -> Response:
    """Return the kept answer again; raises Unprocessable when it answers something else than is `asked`."""
    if kept.request != asked:
        raise Unprocessable(
            "this Idempotency-Key was used for a call with another body or query", hint="use a fresh key per call"
        )
    headers = {REPLAYED: "true"} | ({"content-type": kept.media_type} if kept.media_type else {})
    return Response(kept.body, kept.status, headers)


def _digest(*parts: str | bytes) -> bytes:
    made = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        made.update(len(data).to_bytes(8, "big") + data)
    return made.digest()
