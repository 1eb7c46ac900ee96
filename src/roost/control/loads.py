"""What each awake app has under way, on each of its machines: from Envoy's gauges and the kernel's connections.

Envoy counts a machine's requests anew when the app's cluster changes, but their connections stay: those that the kernel
knows to a machine and Envoy's gauges don't are requests of before, streams that have lasted since, or pass through
roostd. To a machine each such connection carries one request.

State: the latest reading of the gauges with the kernel's connections that were there right before it and right after,
taken while somebody asks.
Invariant: both are of one moment and are told together, or else connections that Envoy opened and keeps since the
reading would count as requests, and streams of before would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace

from roost.control.core import Core
from roost.edge.contract import Load
from roost.host.sockets import established

ASKED = 60.0  # seconds after which nobody asks any more


@dataclass(frozen=True, slots=True)
class Reading:
    """The loads of one moment."""

    began: float  # when it was (`time.monotonic`): what came later is not in it
    loads: Mapping[str, Load] | None  # of each awake app; None when an Envoy that runs did not tell


class CurrentLoads:
    """Loads as of the edge's latest reading. To be made on no loop, asked on roostd's."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._latest: Reading | None = None
        self._asked = -ASKED
        core.edge.around_reading(self._look)

    def read(self) -> Reading | None:
        """Return the latest reading; None while there is none, for nobody has asked lately."""
        self._asked = self._core.now()
        return self._latest

    @contextlib.asynccontextmanager
    async def _look(self) -> AsyncIterator[None]:
        if abs(self._core.now() - self._asked) >= ASKED:
            self._latest = None
            yield
            return
        began, before = time.monotonic(), await _connections()
        yield
        loads = await self._core.edge.loads()
        there = before & await _connections()  # one opened meanwhile may not be in the reading
        self._latest = Reading(began, loads if loads is None else _WithOlder(loads, there))


async def _connections() -> Counter[tuple[str, int]]:
    with contextlib.suppress(OSError):
        return await asyncio.to_thread(established)
    return Counter()


class _WithOlder(Mapping[str, Load]):
    """Loads, each put right when it is looked at."""

    def __init__(self, loads: Mapping[str, Load], there: Counter[tuple[str, int]]) -> None:
        self._loads, self._there = loads, there

    def __getitem__(self, app: str) -> Load:
        return with_older(self._loads[app], self._there)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loads)

    def __len__(self) -> int:
        return len(self._loads)


def with_older(load: Load, there: Counter[tuple[str, int]]) -> Load:
    """Add the requests whose connections Envoy's gauges don't tell of."""
    machines = {
        one.machine_id: load.machines.get(one.machine_id, 0)
        + max(0, there[one.address, one.port] - load.connections.get(one.machine_id, 0))
        for one in load.endpoints
    }
    return replace(load, machines=machines)
