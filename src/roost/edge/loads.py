"""How many requests each machine has under way, from Envoy's gauges of its endpoints. Owns no state.

A reading is what Envoy has at that moment, WebSockets and streams included, added up over the cells. A cell that runs
and can't be read makes the whole reading None: who scales by it must not take silence for idleness.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from roost.edge.admission import WAITING
from roost.edge.cell import Cell
from roost.edge.contract import Load, Route
from roost.model.errors import HostFailure

_WANTED = (
    r"^(cluster\.app/.*\.(endpoint\..*\.(rq|cx)_active|upstream_rq_pending_active)|dynamicmodulescustom\.waiting\..*)$"
)
_ENDPOINT = re.compile(r"cluster\.app/(?P<app>[^.:]+)\.endpoint\.(?P<at>[0-9.]+_[0-9]+)\.(?P<what>rq|cx)_active")
_PENDING = re.compile(r"cluster\.app/(?P<app>[^.:]+)\.upstream_rq_pending_active")
_WAITING = re.compile(re.escape(WAITING) + r"app/(?P<app>[^.:]+)")


@dataclass(slots=True)
class Gauges:
    """One reading: requests by app and "ADDRESS_PORT", and those that wait for a connection by app."""

    active: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    connections: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    pending: dict[str, int] = field(default_factory=dict)


def parse_gauges(text: str) -> Gauges:
    """Read what Envoy's `/stats` says; lines that are something else are passed over."""
    found = Gauges()
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if not value.isdigit():
            continue
        if one := _ENDPOINT.fullmatch(name):
            (found.active if one["what"] == "rq" else found.connections)[one["app"]][one["at"]] = int(value)
        elif one := _PENDING.fullmatch(name) or _WAITING.fullmatch(name):
            found.pending[one["app"]] = found.pending.get(one["app"], 0) + int(value)
    return found


async def loads_of(routes: Collection[Route], cells: Iterable[Cell]) -> Mapping[str, Load] | None:
    """Ask the cells and add up; None when one that runs does not answer."""
    asked = [cell for cell in cells if cell.pid]
    routes = list(routes)
    if not routes:
        return {}
    try:
        texts = await asyncio.gather(*(cell.admin.stats(_WANTED) for cell in asked))
    except HostFailure:
        return None
    readings = [parse_gauges(text) for text in texts]
    return {route.app: load_of(route, readings) for route in routes}


def load_of(route: Route, readings: Sequence[Gauges]) -> Load:
    """Return the load of one app. An Envoy whose cluster of the app was changed knows nothing of older requests."""

    def total(of: Callable[[Gauges], Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
        return {
            endpoint.machine_id: sum(
                of(reading).get(route.app, {}).get(f"{endpoint.address}_{endpoint.port}", 0) for reading in readings
            )
            for endpoint in route.endpoints
        }

    return Load(
        machines=total(lambda reading: reading.active),
        connections=total(lambda reading: reading.connections),
        endpoints=route.endpoints,
        waiting=sum(reading.pending.get(route.app, 0) for reading in readings),
    )
