"""The door of a UDP port whose app sleeps: the first datagrams wake the app and are passed on to it.

Envoy sends here what clients send; once it knows the machines, it sends there. State: the datagrams that wait, at most
`MAX_WAITING`, each of which is passed on once the app is awake. An answer to one of those is lost, as Envoy has another
session with the client by then: clients of UDP ask again. After a wake that failed, datagrams are dropped for `PAUSE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from roost.edge.contract import Refusal, WakeResult

MAX_WAITING = 256
PAUSE = 2.0


class DatagramDoor(asyncio.DatagramProtocol):
    """A loopback port for one public port. `wake` brings the app up; `refused` is told why it could not be."""

    def __init__(
        self,
        wake: Callable[[], Awaitable[WakeResult]],
        refused: Callable[[Refusal], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self._wake, self._refused, self._report = wake, refused, report
        self._waiting: list[bytes] = []
        self._waking: asyncio.Task[None] | None = None
        self._closed_until = 0.0
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()
        if self._waking is not None:
            self._waking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._waking

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Keep a datagram, and begin to wake the app."""
        del addr
        if time.monotonic() < self._closed_until or len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(data)
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._pass_on())

    async def _pass_on(self) -> None:
        try:
            result = await self._wake()
        except Exception as error:
            self._report(error)
            result = WakeResult()
        waiting, self._waiting = self._waiting, []
        if result.endpoint is None:
            self._closed_until = time.monotonic() + PAUSE
            if result.refusal is not None:
                self._refused(result.refusal)
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            for data in waiting:
                out.sendto(data, (result.endpoint.address, result.endpoint.port))
