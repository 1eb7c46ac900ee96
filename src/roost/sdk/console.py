"""A terminal in a machine, over a WebSocket.

State: the connection. Binary frames are the terminal's bytes both ways; text frames carry a resize one
way and the exit code the other. One thread (or task) may read while another writes. When the connection ends
without an exit code, reading raises Unreachable.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.group import Async, Group, M, Sync, call
from roost.sdk.wire import Socket, pump

if TYPE_CHECKING:
    from roost.sdk.transport import Transport


async def open_console(
    transport: Transport, path: str, command: Sequence[str], *, rows: int, columns: int, container: str = ""
) -> Console[Any]:
    """Connect and start the command; raises the API's errors, or Unreachable."""
    query = [("rows", str(rows)), ("columns", str(columns)), *(("command", word) for word in command)]
    if container:
        query.append(("container", container))
    return Console(transport, await transport.socket(path, query))


class Console(Group[M]):
    """An open terminal. Iterating yields what it writes until its program ends; then `exit_code` is set."""

    def __init__(self, transport: Transport, socket: Socket) -> None:
        super().__init__(transport)
        self._socket = socket
        self.exit_code: int | None = None

    @call
    async def write(self, data: bytes) -> None:
        """Send what was typed; raises Unreachable when the connection is gone."""
        await self._send(data)

    @call
    async def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal's new size; raises Unreachable when the connection is gone."""
        await self._send(json.dumps({"resize": [rows, columns]}))

    @call
    async def close(self) -> None:
        """End the session; the program in the machine is hung up."""
        await self._socket.close()

    def __iter__(self: Console[Sync]) -> Iterator[bytes]:
        return pump(self._output())

    def __aiter__(self: Console[Async]) -> AsyncIterator[bytes]:
        return self._output()

    async def _output(self) -> AsyncGenerator[bytes, None]:
        from websockets.exceptions import ConnectionClosed

        try:
            async for frame in self._socket.frames():
                if isinstance(frame, bytes):
                    yield frame
                    continue
                message = json.loads(frame)
                if "exit_code" in message:
                    self.exit_code = int(message["exit_code"])
                    return
                if "error" in message:
                    raise error_from_answer(500, frame.encode(), {}, request="console")
        except ConnectionClosed as error:
            raise Unreachable(f"the console's connection broke: {error}") from error
        if self.exit_code is None:
            raise Unreachable("the console ended without an exit code")

    async def _send(self, data: bytes | str) -> None:
        from websockets.exceptions import WebSocketException

        try:
            await self._socket.send(data)
        except WebSocketException as error:
            raise Unreachable(f"the console's connection broke: {error}") from error
