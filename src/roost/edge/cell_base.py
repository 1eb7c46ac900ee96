"""What a cell has in Envoy besides the apps: listeners, the default route, the clusters of roostd's own sockets.

State: the place, the chains by which the https listener serves apps' names, the names that are served by HTTP/3, and
what an Envoy had that an earlier roostd started. Invariant: from the start all of it is in the cell's table. An Envoy
that was adopted goes on with what it had until the roll-out comes to it (`rollout`), and can get that back. Setting the
same twice tells Envoy nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roost.edge import quic
from roost.edge.listener import (
    HTTPS,
    EdgePlace,
    activator_cluster,
    listeners,
    private_route_configuration,
    route_configuration,
)
from roost.edge.protos import CLUSTER, LISTENER, ROUTES, SECRET, VIRTUAL_HOST
from roost.edge.snapshot import first_virtual_host
from roost.edge.statics import statics_cluster
from roost.edge.steering_config import replay_cluster
from roost.edge.tls import HELD, challenge_cluster
from roost.edge.xds import XdsServer

Table = Mapping[str, Mapping[str, Any]]  # resources by type and name


class CellBase:
    """The base configuration of one cell. `challenges` and `statics` are sockets. All calls are on one event loop."""

    def __init__(self, place: EdgePlace, xds: XdsServer, challenges: Path, statics: Path) -> None:
        self.place, self._xds = place, xds  # where another place is set, `renew` tells Envoy
        self._challenges, self._statics = challenges, statics
        self._old: list[tuple[str, Any]] = []
        self._by_name: dict[str, list[dict[str, Any]]] = {}  # port -> chains
        self._by_quic: frozenset[str] = frozenset()
        self._unanswered = self._by_quic  # those of an earlier roostd's whose certificates were not asked for yet

    def begin(self, last_good: Table, *, adopted: bool) -> None:
        """Set it all, and private routes while there are none; what an `adopted` Envoy had is in `last_good`."""
        if (http3 := last_good.get(LISTENER, {}).get(quic.NAME)) is not None:
            self._by_quic = self._unanswered = quic.hosts_of(http3)
        if adopted:
            self._old = [(kind, _like(last_good, kind, new) or new) for kind, new in self.resources()]
        self._set(self._old or self.resources())
        if self.place.private:  # not of the base: it goes with the apps
            empty = private_route_configuration([])
            self._xds.set(ROUTES, _like(last_good, ROUTES, empty) or empty)

    def resources(self) -> list[tuple[str, Any]]:
        """Return types and resources, as this Roost makes them: the same in all cells but for their places."""
        return [
            (CLUSTER, activator_cluster(self.place)),
            (CLUSTER, statics_cluster(self._statics)),
            (CLUSTER, challenge_cluster(self._challenges)),
            (CLUSTER, replay_cluster(self.place.replay)),
            *((LISTENER, listener) for listener in self._listeners()),
            (ROUTES, route_configuration()),
            (VIRTUAL_HOST, first_virtual_host()),
        ]

    def is_up_to_date(self) -> bool:
        """Say whether Envoy is given what this Roost makes."""
        return all(self._xds.table[kind].get(new.name) == new for kind, new in self.resources())

    def renew(self) -> None:
        """Give Envoy what this Roost makes."""
        self._set(self.resources())

    def restore(self) -> None:
        """Give Envoy back what it had."""
        self._set(self._old)

    def serve_by_name(self, ports: Mapping[str, list[dict[str, Any]]]) -> None:
        """Have the https listener serve apps' names by these chains; none: no more. Others' connections go on."""
        changed = {port: chains for port, chains in ports.items() if self._by_name.get(port, []) != chains}
        if changed:
            self._by_name = {port: chains for port, chains in (self._by_name | changed).items() if chains}
            self._set_listener(HTTPS)

    def follow_certificates(self, awake: Iterable[str]) -> None:
        """Serve by HTTP/3 the host names of apps that are `awake` and have certificates of their own; on a period."""
        if not self.place.speaks_http3:
            return
        found = self._xds.table[SECRET]
        self._unanswered -= {host for host in self._unanswered if self._xds.knows_secret(f"{HELD}{host}")}
        hosts = quic.hosts_with(found, awake, self._by_quic, self._unanswered)
        if hosts != self._by_quic:
            self._by_quic = hosts
            self._set_listener(quic.NAME)

    def _listeners(self) -> list[Any]:
        chains = [chain for name in sorted(self._by_name) for chain in self._by_name[name]]
        return listeners(self.place, chains, sorted(self._by_quic))

    def _set_listener(self, name: str) -> None:
        self._xds.set(LISTENER, next(one for one in self._listeners() if one.name == name))

    def _set(self, base: Iterable[tuple[str, Any]]) -> None:
        for kind, resource in base:
            self._xds.set(kind, resource)


def _like(table: Table, kind: str, resource: Any) -> Any:
    """Return the resource of the same name in a table, None if there is none."""
    return table.get(kind, {}).get(resource.name)
