"""A terminal in a machine, over a WebSocket.

State: the connection. Binary frames are the terminal's bytes both ways; text frames carry a resize one
way and the exit code the other. One thread may read while another writes. When the connection ends
without an exit code, reading raises Unreachable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from roost.sdk.errors import Unreachable, error_from_answer

if TYPE_CHECKING:
    from roost.sdk.transport import Transport


class Console:
    """An open terminal. Iterating yields what it writes until its program ends; then `exit_code` is set."""

    def __init__(self, connection: ClientConnection, closing: ExitStack) -> None:
        self._connection = connection
        self._closing = closing
        self.exit_code: int | None = None

    @classmethod
    def open(cls, transport: Transport, path: str, command: Sequence[str], *, rows: int, columns: int) -> Console:
        """Connect and start the command; raises the API's errors, or Unreachable."""
        query = [("rows", str(rows)), ("columns", str(columns)), *(("command", word) for word in command)]
        address = transport.base_url.replace("http", "ws", 1) + path + "?" + urlencode(query)
        closing = ExitStack()
        try:
            opened = connect(
                address,
                additional_headers=transport.authorization,
                proxy=None if transport.local else True,
                compression=None,
                open_timeout=15.0,
                max_size=1 << 20,
            )
            connection = closing.enter_context(opened)
        except InvalidStatus as error:
            answer = error.response
            headers = {key.lower(): value for key, value in answer.headers.raw_items()}
            raise error_from_answer(
                answer.status_code, bytes(answer.body or b""), headers, request=f"GET {path}"
            ) from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Unreachable(f"the console at {transport.base_url} can't be reached: {error}") from error
        return cls(connection, closing)

    def write(self, data: bytes) -> None:
        """Send what was typed; raises Unreachable when the connection is gone."""
        self._send(data)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal's new size; raises Unreachable when the connection is gone."""
        self._send(json.dumps({"resize": [rows, columns]}))

    def close(self) -> None:
        """End the session; the program in the machine is hung up."""
        self._closing.close()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for frame in self._connection:
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

    def _send(self, data: bytes | str) -> None:
        try:
            self._connection.send(data)
        except WebSocketException as error:
            raise Unreachable(f"the console's connection broke: {error}") from error
