"""A WebSocket of bytes in binary frames, with JSON in text frames beside them: what consoles and tunnels share.

State: the connection. One thread (or task) may read while another writes. A text frame `{"error": ...}` is raised as
the API's error; a connection that ends before the stream was said to end raises Unreachable.
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


class Framed(Group[M]):
    """An open connection. Iterating yields the bytes that come, until the other side says that there are no more."""

    what = "connection"  # in errors

    def __init__(self, transport: Transport, socket: Socket) -> None:
        super().__init__(transport)
        self._socket = socket

    @call
    async def close(self) -> None:
        """End it."""
        await self._socket.close()

    def __iter__(self: Framed[Sync]) -> Iterator[bytes]:
        return pump(self._incoming())

    def __aiter__(self: Framed[Async]) -> AsyncIterator[bytes]:
        return self._incoming()

    def _ends(self, message: dict[str, Any]) -> bool:
        """Take a message in; tell whether it was the last one."""
        raise NotImplementedError

    async def _incoming(self) -> AsyncGenerator[bytes, None]:
        from websockets.exceptions import ConnectionClosed

        try:
            async for frame in self._socket.frames():
                if isinstance(frame, bytes):
                    yield frame
                    continue
                message = json.loads(frame)
                if self._ends(message):
                    return
                if "error" in message:
                    raise error_from_answer(500, frame.encode(), {}, request=self.what)
        except ConnectionClosed as error:
            raise Unreachable(f"the {self.what}'s connection broke: {error}") from error
        raise Unreachable(f"the {self.what}'s connection ended before it was said to end")

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._send(json.dumps(message))

    async def _send(self, frame: bytes | str) -> None:
        from websockets.exceptions import WebSocketException

        try:
            await self._socket.send(frame)
        except WebSocketException as error:
            raise Unreachable(f"the {self.what}'s connection broke: {error}") from error
