"""The API's socket of each machine: `/.fly/api` inside, served by roostd on its event loop.

State owned: one listening socket per machine that runs or is suspended, and its open connections. A socket is a
file below the machine's run directory, which the machine sees read-only; a new roostd puts a new one there under
the same name, so that machines that ran on find it. The invariant: what comes through a socket is marked with
the machine whose socket it is, whatever it says. A machine holds at most `CONNECTIONS` connections: it waits for
a free one, and nobody else does. A machine whose socket can't be made runs without it, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from roost.api.inside import SOURCE

CONNECTIONS = 16  # of one machine at the same time
BACKLOG = 64  # connections of one machine that wait
NAME = "api"
_PAUSE = 1.0  # seconds before connections are taken again when roostd has no file descriptor left
_log = structlog.get_logger("roostd")


class MachineSockets:
    """Listens for machines. `open` and `close` may be called from any thread; the rest is the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._guard = threading.Lock()
        self._doors: dict[str, _Door] = {}
        self._config: uvicorn.Config | None = None
        self._state = ServerState()

    @property
    def serves(self) -> bool:
        """True once there is an API to answer with."""
        return self._config is not None

    def open(self, machine_id: str, directory: Path) -> None:
        """See `roost.host.contract.Doors`."""
        try:
            door = _Door(machine_id, listen(directory / NAME), self)
        except OSError as error:
            _log.warning("a machine has no API socket", machine=machine_id, error=error.strerror)
            return
        with self._guard:
            former, self._doors[machine_id] = self._doors.get(machine_id), door
        if former is not None:
            self._later(former.end)
        self._later(door.begin)

    def close(self, machine_id: str) -> None:
        """See `roost.host.contract.Doors`."""
        with self._guard:
            door = self._doors.pop(machine_id, None)
        if door is not None:
            self._later(door.end)

    def serve(self, api: FastAPI) -> None:
        """Begin to answer what waits and what will come."""
        self._config = uvicorn.Config(api, log_config=None, access_log=False, http="h11", ws="none", lifespan="off")
        self._config.load()
        with self._guard:
            doors = list(self._doors.values())
        for door in doors:
            door.begin()

    def stop(self) -> None:
        """End all, as what is asked can't be answered any more."""
        with self._guard:
            doors, self._doors = list(self._doors.values()), {}
        for door in doors:
            door.end()

    def _later(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has this process soon
            self.loop.call_soon_threadsafe(work)

    def connection(self, machine_id: str, on_end: Callable[[], None]) -> Connection | None:
        """Return what speaks HTTP on a new connection of a machine; None while there is nobody to answer."""
        if self._config is None:
            return None
        return Connection(self._config, self._state, {SOURCE: machine_id}, self.loop, on_end)


class Connection(H11Protocol):
    """One connection, which a machine can't hold without asking anything."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._on_end = on_end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, no longer than between two of them."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for the next one."""
        super().connection_lost(exc)
        self._on_end()


class _Door:
    """One machine's listening socket, and how many connections it has. All but its making is the event loop's."""

    def __init__(self, machine_id: str, listening: socket.socket, sockets: MachineSockets) -> None:
        self._machine_id = machine_id
        self._listening = listening
        self._sockets = sockets
        self._open = 0
        self._ended = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        """Take connections, if they can be answered by now."""
        if not self._ended and self._open < CONNECTIONS and self._sockets.serves:
            self._sockets.loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        loop = self._sockets.loop
        connection = self._sockets.connection(self._machine_id, self._one_ended)
        if connection is None:
            return
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("a machine's connection was not taken", machine=self._machine_id, error=error.strerror)
            loop.remove_reader(self._listening)
            loop.call_later(_PAUSE, self.begin)
            return
        accepted.setblocking(False)
        self._open += 1
        if self._open >= CONNECTIONS:
            loop.remove_reader(self._listening)
        task = loop.create_task(loop.connect_accepted_socket(lambda: connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _one_ended(self) -> None:
        self._open -= 1
        self.begin()

    def end(self) -> None:
        """Take no more connections; those there are end with their machine."""
        if not self._ended:
            self._ended = True
            self._sockets.loop.remove_reader(self._listening)
            self._listening.close()


def listen(path: Path) -> socket.socket:
    """Put a listening socket in the place of whatever is at `path`, for every user of the machine; raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.bind(str(draft))
        draft.chmod(0o666)
        listening.listen(BACKLOG)
        draft.rename(path)  # at no moment is there a socket that refuses
    except BaseException:
        listening.close()
        draft.unlink(missing_ok=True)
        raise
    return listening
