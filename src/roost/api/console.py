"""A terminal in a machine over a WebSocket.

Binary frames are the terminal's bytes in both directions; a text frame `{"resize": [rows, columns]}`
from the client resizes it; the last frame from the server is `{"exit_code": N}`. The token is checked
on the handshake, by header. State: one process in a machine and one terminal, both ended when either
side goes: nothing outlives the connection.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

import anyio
import anyio.to_thread
import structlog
from fastapi import APIRouter, Query
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from roost.api.auth import authenticate
from roost.api.errors import error_response, not_found
from roost.api.limits import Limits
from roost.api.long_calls import LongCalls
from roost.control.contract import Control
from roost.host.contract import Console
from roost.model.errors import BadInput, RoostError
from roost.model.names import check_app_name, check_machine_id

router = APIRouter()
_log = structlog.get_logger("roost.api")
_CHUNK = 65536


@router.websocket("/v1/apps/{app}/machines/{machine_id}/console")
async def console(
    websocket: WebSocket,
    app: str,
    machine_id: str,
    command: Annotated[list[str], Query()] = [],  # noqa: B006
    rows: str = "24",
    columns: str = "80",
    container: str = "",
) -> None:
    """Run a command with a terminal in a machine; without a command, a shell."""
    control: Control = websocket.app.state.control
    limits: Limits = websocket.app.state.limits
    long_calls: LongCalls = websocket.app.state.long_calls
    try:
        await authenticate(websocket)
        check_app_name(app)
        check_machine_id(machine_id)
        argv = check_argv(command)
        size = terminal_size([rows, columns])
        terminal = await long_calls.run(
            lambda: control.machines.console(app, machine_id, argv, rows=size[0], columns=size[1], container=container)
        )
    except RoostError as error:
        await refuse(websocket, error)
        return
    exit_code = -1
    try:
        await websocket.accept()
        await _bridge(websocket, terminal, limits)
    finally:
        with anyio.CancelScope(shield=True):
            exit_code = await anyio.to_thread.run_sync(terminal.close)
    await _say_goodbye(websocket, exit_code)


def check_argv(words: list[str]) -> tuple[str, ...]:
    """Return the command's words; raises BadInput for what can't be passed to a program."""
    if len(words) > 1024 or any("\0" in word for word in words) or (words and not words[0]):
        raise BadInput("command can't be run: it is empty, too long or holds a NUL character")
    return tuple(words)


def terminal_size(size: object) -> tuple[int, int]:
    """Return (rows, columns); raises BadInput unless both are from 1 to 4096."""
    numbers = [str(number) for number in size] if isinstance(size, list) else []
    if len(numbers) != 2 or not all(re.fullmatch(r"[0-9]{1,4}", number) for number in numbers):
        raise BadInput("the terminal's size must be two whole numbers: rows and columns")
    rows, columns = int(numbers[0]), int(numbers[1])
    if not (1 <= rows <= 4096 and 1 <= columns <= 4096):
        raise BadInput("the terminal's rows and columns must be from 1 to 4096")
    return rows, columns


async def refuse(websocket: WebSocket, error: RoostError | None) -> None:
    """Answer a handshake with an error; None is an unknown path."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(error_response(error) if error else not_found())
    else:
        await websocket.close(1008, (error.message if error else "not found")[:120])


async def refuse_unknown(websocket: WebSocket) -> None:
    """Answer a handshake on an unknown path as any other request on one."""
    await refuse(websocket, None)


async def _bridge(websocket: WebSocket, terminal: Console, limits: Limits) -> None:
    """Carry bytes both ways until the process ends, the client goes, or one of them stops taking bytes."""
    descriptor = terminal.fileno()
    os.set_blocking(descriptor, False)

    def until_done(carry: Callable[[], Awaitable[None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            try:
                await carry()
            except (WebSocketDisconnect, OSError, TimeoutError, RuntimeError) as error:
                _log.debug("console ends", reason=type(error).__name__)
            group.cancel_scope.cancel()

        return run

    async with anyio.create_task_group() as group:
        group.start_soon(until_done(lambda: _output(websocket, descriptor)))
        group.start_soon(until_done(lambda: _input(websocket, terminal, descriptor, limits)))


async def _output(websocket: WebSocket, descriptor: int) -> None:
    while True:
        await anyio.wait_readable(descriptor)
        try:
            piece = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            continue
        if not piece:  # a terminal whose process has ended gives an error (EIO) or nothing
            return
        await websocket.send_bytes(piece)


async def _input(websocket: WebSocket, terminal: Console, descriptor: int, limits: Limits) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("bytes"):
            with anyio.fail_after(limits.console_write):
                await _write(descriptor, message["bytes"])
        elif message.get("text"):
            size = _read_resize(message["text"])
            if size is not None:
                terminal.resize(*size)


async def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await anyio.wait_writable(descriptor)


def _read_resize(text: str) -> tuple[int, int] | None:
    """Return the size a text frame asks for; None for a frame that is no resize (it is ignored)."""
    try:
        frame: Any = json.loads(text)
        return terminal_size(frame["resize"])
    except (ValueError, TypeError, KeyError, RecursionError, BadInput):
        return None


async def _say_goodbye(websocket: WebSocket, exit_code: int) -> None:
    if websocket.client_state is not WebSocketState.CONNECTED:
        return
    try:
        await websocket.send_text(json.dumps({"exit_code": exit_code}))
        await websocket.close()
    except (WebSocketDisconnect, OSError, RuntimeError) as error:
        _log.debug("console's client left before the end", reason=type(error).__name__)
