"""The door of a public port whose app sleeps: who connects there waits until the app is awake.

Envoy connects for each client and says nothing of use; the door has the app woken, waits until Envoy has acknowledged
where its machines are, and hangs up: Envoy then tries again, there. State: the connections that wait; Envoy leads
`MAX_WAITING` here at most, and closes those beyond. After a wake that failed, connections are turned away for `PAUSE`
seconds, since Envoy tries each one several times. If roostd dies the connections break and Envoy gives them up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from roost.edge.connection_server import ConnectionServer
from roost.edge.contract import Refusal, WakeResult

MAX_WAITING = 1024
REFUSED = 2 * MAX_WAITING  # that wait, with those whose end has not been noticed: more are turned away
PAUSE = 2.0


class PortDoor(ConnectionServer):
    """A socket for one port. `wake` brings the app up; `open` returns once Envoy knows its machines.

    `refused` is told why nobody could be let in.
    """

    def __init__(
        self,
        path: Path,
        wake: Callable[[], Awaitable[WakeResult]],
        opened: Callable[[], Awaitable[None]],
        refused: Callable[[Refusal], None],
        report: Callable[[BaseException], None],
    ) -> None:
        super().__init__(path, report)
        self._wake, self._opened, self._refused = wake, opened, refused
        self._closed_until = 0.0
        self.waiting = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer  # nothing is ever said
        if time.monotonic() < self._closed_until or self.waiting >= REFUSED:
            return
        self.waiting += 1
        gone = asyncio.ensure_future(_ended(reader))
        enter = asyncio.ensure_future(self._enter())
        try:
            await asyncio.wait((gone, enter), return_when=asyncio.FIRST_COMPLETED)
            if enter.done():
                enter.result()
        finally:
            self.waiting -= 1
            gone.cancel()
            enter.cancel()
            await asyncio.gather(gone, enter, return_exceptions=True)

    async def _enter(self) -> None:
        result = await self._wake()
        if result.refusal is not None:
            self._closed_until = time.monotonic() + PAUSE
            self._refused(result.refusal)
            return
        await self._opened()


async def _ended(reader: asyncio.StreamReader) -> None:
    """Wait until Envoy gives the connection up; what it says meanwhile is a greeting that nobody answers."""
    try:
        while await reader.read(4096):
            pass
    except OSError:
        return
