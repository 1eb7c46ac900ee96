"""How many requests each machine has under way, from the latest readings of Envoy's gauges. Owns no state.

A reading is what Envoy had at that moment, WebSockets and streams included, added up over the cells. A cell that runs
and could not be read makes the whole of it None: who scales by it must not take silence for idleness.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from roost.edge.contract import Load, Route
from roost.edge.gauges import Gauges
from roost.edge.machine_limits import counts_each_endpoint


class Loads(Mapping[str, Load]):
    """The load of each routed app, added up when it is looked at: of many apps few are."""

    def __init__(self, routes: Mapping[str, Route], readings: Sequence[Gauges]) -> None:
        self._routes, self._readings = dict(routes), readings

    def __getitem__(self, app: str) -> Load:
        """Return the load of an app; raises KeyError when it has no route."""
        return load_of(self._routes[app], self._readings)

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the routed apps."""
        return iter(self._routes)

    def __len__(self) -> int:
        """Return how many apps are routed."""
        return len(self._routes)


def load_of(route: Route, readings: Collection[Gauges]) -> Load:
    """Return the load of one app. An Envoy whose cluster of the app was changed knows nothing of older requests."""
    machines, connections = {}, {}
    for one in route.endpoints:
        if counts_each_endpoint(route):
            at = f"{one.address}_{one.port}"
            machines[one.machine_id] = sum(x.requests_at.get(route.app, {}).get(at, 0) for x in readings)
            connections[one.machine_id] = sum(x.connections_at.get(route.app, {}).get(at, 0) for x in readings)
        else:
            machines[one.machine_id] = sum(x.requests.get(route.app, 0) for x in readings)
            connections[one.machine_id] = sum(x.connections.get(route.app, 0) for x in readings)
    waiting = sum(x.pending.get(route.app, 0) for x in readings)
    return Load(machines=machines, connections=connections, endpoints=route.endpoints, waiting=waiting)
