"""A terminal in a machine, over a WebSocket.

Binary frames are the terminal's bytes both ways; text frames carry a resize one way and the exit code, which is the
end, the other. See `framed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from roost.sdk.framed import Framed
from roost.sdk.group import M, call
from roost.sdk.wire import Socket

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


class Console(Framed[M]):
    """An open terminal. Iterating yields what it writes until its program ends; then `exit_code` is set."""

    what = "console"

    def __init__(self, transport: Transport, socket: Socket) -> None:
        super().__init__(transport, socket)
        self.exit_code: int | None = None

    @call
    async def write(self, data: bytes) -> None:
        """Send what was typed; raises Unreachable when the connection is gone."""
        await self._send(data)

    @call
    async def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal's new size; raises Unreachable when the connection is gone."""
        await self._tell({"resize": [rows, columns]})

    def _ends(self, message: dict[str, Any]) -> bool:
        if "exit_code" in message:
            self.exit_code = int(message["exit_code"])
        return "exit_code" in message
