"""What each awake app has under way, on each of its machines: from Envoy's gauges and the kernel's connections.

Owns no state. Envoy counts a machine's requests anew when the app's cluster changes, but their connections stay: those
that the kernel knows to a machine and Envoy's gauges don't are requests of before, streams that have lasted since, or
pass through roostd. To a machine each such connection carries one request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from roost.control.core import Core
from roost.edge.contract import Load
from roost.host.sockets import established


async def current_loads(core: Core) -> Mapping[str, Load] | None:
    """Return the load of each awake app; None when an Envoy that runs does not tell."""
    loads = await core.edge.loads()
    if not loads:
        return loads
    there = await asyncio.to_thread(established)
    return _WithOlder(loads, there)


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
