"""A server on a unix socket that Envoy connects to: a task per connection. What activator and replay server share.

It owns the socket and the connections' tasks; a side that goes away ends its connection and nothing else.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from roost.edge.head import MAX_HEAD


class ConnectionServer(ABC):
    """Calls `_serve` for each connection; `report` is told of failures that are ours."""

    def __init__(self, path: Path, report: Callable[[BaseException], None]) -> None:
        self._path, self._report = path, report
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; it is closed afterwards."""

    async def start(self) -> None:
        """Listen; replaces a socket that an earlier roostd left behind."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path, limit=MAX_HEAD, backlog=4096)

    async def stop(self) -> None:
        """Stop listening and break what is under way."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side went away
        except Exception as error:
            self._report(error)
        except asyncio.CancelledError:
            pass  # stop()
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
