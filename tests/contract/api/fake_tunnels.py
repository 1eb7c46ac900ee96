"""Connections to machines, in memory: each machine is this host, where the test listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from roost.model.errors import FailedPrecondition


class Tunnels:
    def __init__(self, world: Any) -> None:
        self.world = world
        self.open_now = 0

    @asynccontextmanager
    async def open(
        self, app: str, machine_id: str, port: int
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        self.world.machine(app, machine_id)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            raise FailedPrecondition(f"failed_precondition: nothing listens on port {port}") from None
        self.open_now += 1
        try:
            yield reader, writer
        finally:
            self.open_now -= 1
            writer.close()
