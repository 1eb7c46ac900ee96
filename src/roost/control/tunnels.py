"""TCP connections from outside to a port of a machine, through the API.

State owned: how many are open to each app, so that an app in use is not put to sleep. In memory: a tunnel does not
outlive roostd. A machine that sleeps is woken; a port that nobody listens on yet is tried for a few seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from roost.control.core import Core
from roost.control.lifecycle import Lifecycle
from roost.model.errors import FailedPrecondition

PATIENCE = 10.0  # seconds for the program in a machine that was just woken to listen
_TRY = 5.0  # seconds for one connection
_PAUSE = 0.05
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Tunnels:
    """Opens connections to machines, and knows which apps have some."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._open: Counter[str] = Counter()
        self._last: dict[str, float] = {}

    def open_to(self, app: str) -> int:
        """Return how many are open to an app now."""
        return self._open[app]

    def last_used(self, app: str) -> float:
        """Return when the latest one ended, as a Unix time; 0 for never."""
        return self._last.get(app, 0.0)

    @asynccontextmanager
    async def open(self, app: str, machine_id: str, port: int) -> AsyncIterator[Streams]:
        """Connect to a TCP port of a machine, which is woken if it sleeps.

        Raises NotFound, what a start raises, and FailedPrecondition when nobody listens there.
        """
        self._open[app] += 1
        try:
            await asyncio.to_thread(self._core.store.machines.get, app, machine_id)
            machine = await asyncio.to_thread(self._lifecycle.bring_up, machine_id)
            reader, writer = await self._connect(machine.private_ipv4, port, app)
            try:
                yield reader, writer
            finally:
                writer.close()
                with suppress(OSError, asyncio.CancelledError):
                    await asyncio.wait_for(writer.wait_closed(), 1)
        finally:
            self._open[app] -= 1
            if not self._open[app]:
                del self._open[app]
            self._last[app] = self._core.now()

    async def _connect(self, address: str, port: int, app: str) -> Streams:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                async with asyncio.timeout(_TRY):
                    return await asyncio.open_connection(address, port)
            except (OSError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise FailedPrecondition(
                        f"failed_precondition: nothing accepts connections on port {port} of the machine: "
                        f"{error or 'no answer'}",
                        hint=f"does the program listen on 0.0.0.0:{port}? roost logs -a {app}",
                    ) from None
            await asyncio.sleep(_PAUSE)
