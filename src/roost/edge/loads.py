"""How many requests each machine has under way, from Envoy's gauges of its endpoints. Owns no state.

A reading is what Envoy has at that moment, WebSockets and streams included, added up over the cells; what the activator
passes on by itself is added by who asks. A cell that can't be read makes the whole reading None: who scales by it must
not take silence for idleness.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roost.edge.admin import Admin
from roost.edge.contract import Route
from roost.edge.snapshot import APP_PREFIX
from roost.model.errors import HostFailure

_WANTED = r"^cluster\.app/.*\.(endpoint\..*\.rq_active|upstream_rq_pending_active)$"
_ENDPOINT = re.compile(r"cluster\.app/(?P<app>[^:]+?)\.endpoint\.(?P<at>[0-9.]+[:_][0-9]+)\.rq_active")
_PENDING = re.compile(r"cluster\.app/(?P<app>.+)\.upstream_rq_pending_active")


@dataclass(slots=True)
class Gauges:
    """One reading: requests by app and "ADDRESS:PORT", and those that wait for a connection by app."""

    active: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    pending: dict[str, int] = field(default_factory=dict)


def parse_gauges(text: str) -> Gauges:
    """Read what Envoy's `/stats` says; lines that are something else are passed over."""
    found = Gauges()
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if not value.isdigit():
            continue
        if one := _ENDPOINT.fullmatch(name):
            at = one["at"].replace("_", ":")
            found.active[one["app"]][at] = found.active[one["app"]].get(at, 0) + int(value)
        elif one := _PENDING.fullmatch(name):
            found.pending[one["app"]] = found.pending.get(one["app"], 0) + int(value)
    return found


async def read_gauges(admins: Iterable[Admin]) -> list[Gauges] | None:
    """Ask all of these Envoys; None when one does not answer."""
    try:
        texts = await asyncio.gather(*(admin.stats(_WANTED) for admin in admins))
    except HostFailure:
        return None
    return [parse_gauges(text) for text in texts]


def by_machine(route: Route, readings: Iterable[Gauges]) -> Mapping[str, int]:
    """Return the requests under way on each machine of a route."""
    readings = list(readings)
    return {
        endpoint.machine_id: sum(
            reading.active.get(route.app, {}).get(f"{endpoint.address}:{endpoint.port}", 0) for reading in readings
        )
        for endpoint in route.endpoints
    }


__all__ = ["APP_PREFIX", "Gauges", "by_machine", "parse_gauges", "read_gauges"]
