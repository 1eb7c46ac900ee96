"""A TCP connection to a port of a machine, over a WebSocket.

Binary frames are the connection's bytes, both ways. A text frame `{"eof": true}` says that its sender has no more to
send (half-close); when both sides have said it, or the connection breaks, the server closes. State: one connection to
the machine, ended with the WebSocket. Nobody is read faster than the other side takes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from roost.api.auth import authenticate
from roost.api.console import refuse
from roost.control.contract import Control
from roost.model.errors import BadInput, RoostError
from roost.model.names import check_app_name, check_machine_id

router = APIRouter()
_log = structlog.get_logger("roost.api")
_CHUNK = 65536
_EOF = json.dumps({"eof": True})


@router.websocket("/v1/apps/{app}/machines/{machine_id}/proxy")
async def proxy(websocket: WebSocket, app: str, machine_id: str, port: str = "") -> None:
    """Connect to a TCP port of a machine, which is woken if it sleeps."""
    control: Control = websocket.app.state.control
    async with AsyncExitStack() as closing:
        try:
            await authenticate(websocket)
            opening = control.tunnels.open(check_app_name(app), check_machine_id(machine_id), check_port(port))
            reader, writer = await closing.enter_async_context(opening)
        except RoostError as error:
            await refuse(websocket, error)
            return
        await websocket.accept()
        await _carry(websocket, reader, writer)
    if websocket.client_state is WebSocketState.CONNECTED:
        try:
            await websocket.close()
        except (WebSocketDisconnect, OSError, RuntimeError) as error:
            _log.debug("tunnel's client left before the end", reason=type(error).__name__)


def check_port(text: str) -> int:
    """Return a TCP port; raises BadInput."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    raise BadInput("port must be a TCP port, from 1 to 65535", hint="?port=5432")


async def _carry(websocket: WebSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until both sides have ended, or one is gone."""
    ways = [asyncio.create_task(_quietly(way)) for way in (_outward(websocket, reader), _inward(websocket, writer))]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if all(task.result() for task in done):  # it ended its side and the other may go on
            await asyncio.wait(ways)
    finally:
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _quietly(way: Coroutine[Any, Any, None]) -> bool:
    """Run one direction; tells whether it came to its proper end."""
    try:
        await way
    except (WebSocketDisconnect, OSError, RuntimeError) as error:
        _log.debug("tunnel ends", reason=type(error).__name__)
        return False
    return True


async def _outward(websocket: WebSocket, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(_CHUNK):
        await websocket.send_bytes(data)
    await websocket.send_text(_EOF)


async def _inward(websocket: WebSocket, writer: asyncio.StreamWriter) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        if message.get("bytes"):
            writer.write(message["bytes"])
            await writer.drain()
        elif _is_end(message.get("text") or ""):
            writer.write_eof()
            return


def _is_end(text: str) -> bool:
    try:
        frame: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(frame, dict) and frame.get("eof") is True
