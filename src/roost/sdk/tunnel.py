"""A TCP connection to a port of a machine, over a WebSocket.

Binary frames are its bytes both ways; a text frame `{"eof": true}` is a half-close. See `framed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roost.sdk.framed import Framed
from roost.sdk.group import M, call

if TYPE_CHECKING:
    from roost.sdk.transport import Transport

_FRAME = 1 << 18  # bytes sent in one frame


async def open_tunnel(transport: Transport, path: str, port: int) -> Tunnel[Any]:
    """Connect; raises the API's errors, or Unreachable."""
    return Tunnel(transport, await transport.socket(path, [("port", str(port))]))


class Tunnel(Framed[M]):
    """An open connection. Iterating yields what the machine sends, until it has no more to send."""

    what = "tunnel"

    @call
    async def write(self, data: bytes) -> None:
        """Send bytes; returns when there is room for more. Raises Unreachable when the connection is gone."""
        for start in range(0, len(data), _FRAME):
            await self._send(data[start : start + _FRAME])

    @call
    async def write_eof(self) -> None:
        """Say that no more will be sent; what comes can still be read."""
        await self._tell({"eof": True})

    def _ends(self, message: dict[str, Any]) -> bool:
        return bool(message.get("eof"))
