"""A TCP connection to a port of a machine, over a WebSocket.

State: the connection. Binary frames are its bytes both ways; a text frame `{"eof": true}` is a half-close. One thread
(or task) may read while another writes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.group import Async, Group, M, Sync, call
from roost.sdk.wire import Socket, pump

if TYPE_CHECKING:
    from roost.sdk.transport import Transport

_FRAME = 1 << 18  # bytes sent in one frame


async def open_tunnel(transport: Transport, path: str, port: int) -> Tunnel[Any]:
    """Connect; raises the API's errors, or Unreachable."""
    return Tunnel(transport, await transport.socket(path, [("port", str(port))]))


class Tunnel(Group[M]):
    """An open connection. Iterating yields what the machine sends, until it has no more to send."""

    def __init__(self, transport: Transport, socket: Socket) -> None:
        super().__init__(transport)
        self._socket = socket

    @call
    async def write(self, data: bytes) -> None:
        """Send bytes; returns when there is room for more. Raises Unreachable when the connection is gone."""
        for start in range(0, len(data), _FRAME):
            await self._send(data[start : start + _FRAME])

    @call
    async def write_eof(self) -> None:
        """Say that no more will be sent; what comes can still be read."""
        await self._send(json.dumps({"eof": True}))

    @call
    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()

    def __iter__(self: Tunnel[Sync]) -> Iterator[bytes]:
        return pump(self._incoming())

    def __aiter__(self: Tunnel[Async]) -> AsyncIterator[bytes]:
        return self._incoming()

    async def _incoming(self) -> AsyncGenerator[bytes, None]:
        from websockets.exceptions import ConnectionClosed

        try:
            async for frame in self._socket.frames():
                if isinstance(frame, bytes):
                    yield frame
                    continue
                message = json.loads(frame)
                if message.get("eof"):
                    return
                if "error" in message:
                    raise error_from_answer(500, frame.encode(), {}, request="proxy")
        except ConnectionClosed as error:
            raise Unreachable(f"the tunnel's connection broke: {error}") from error
        raise Unreachable("the tunnel ended before the machine's program did")

    async def _send(self, data: bytes | str) -> None:
        from websockets.exceptions import WebSocketException

        try:
            await self._socket.send(data)
        except WebSocketException as error:
            raise Unreachable(f"the tunnel's connection broke: {error}") from error
