"""The API's HTTP server: uvicorn inside roostd, which ends when roostd says so, and never by itself.

Owns the API's port. A roostd that is killed leaves it to the next one at once; one that is asked to end answers
the requests under way first.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from roost.model.errors import Conflict
from roost.plan.ticks import until_next

GRACE = 3  # seconds that requests under way have to end
TICK = 1.0  # seconds
UNREAD = 300.0  # seconds that a client may read nothing of what it is sent; what waits for it is kept in memory


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, asked_to_end: asyncio.Event, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._asked_to_end, self._on_listening = asked_to_end, on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so when calls can come."""
        await super().startup(sockets)
        self._on_listening()

    async def main_loop(self) -> None:
        """Return when it is asked to end; until then renew the date in answers. uvicorn's wakes ten times as often."""
        while not self._asked_to_end.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_end.wait(), until_next(TICK, time.monotonic()))
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to roostd: uvicorn raises each again when it has ended, which would end roostd too."""
        yield


def bind_api(port: int) -> socket.socket:
    """Take the API's port on loopback, before anything is started; raises Conflict. Nobody can connect to it yet."""
    # With the protocol named, asyncio turns Nagle's algorithm off; else each answer waits 40 ms for the client's ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD * 1000))  # connections inherit it
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise Conflict(
            f"port {port} for the API can't be used: {error.strerror}", hint="roost down && roost up --api-port N"
        ) from None
    return listening


async def serve_api(
    api: FastAPI, listening: socket.socket, asked_to_end: asyncio.Event, on_listening: Callable[[], None]
) -> None:
    """Serve until `asked_to_end` is set and the requests under way were answered, or cut off after `GRACE`."""
    config = uvicorn.Config(
        api, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE, ws="websockets-sansio"
    )
    await _Server(config, asked_to_end, on_listening).serve(sockets=[listening])
