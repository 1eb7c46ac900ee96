"""Which app has which route, and who owns which host name. Pure.

State: the routes as control put them, by app. Invariant: a host name has one owner, and what an app owns are the host
names of its route, no others; a route that is refused changes nothing. All of it can be lost: control puts its routes
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from roost.edge.contract import Endpoint, Route
from roost.edge.snapshot import check_route
from roost.model.errors import Conflict
from roost.model.steering import SessionRule


class RouteTable(Mapping[str, Route]):
    """Routes by app."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, str] = {}  # host -> app

    def __getitem__(self, app: str) -> Route:
        """Return an app's route; raises KeyError."""
        return self._routes[app]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the routed apps."""
        return iter(self._routes)

    def __len__(self) -> int:
        """Return how many apps have a route."""
        return len(self._routes)

    def put(self, route: Route) -> Route | None:
        """Have an app's route, in place of an older one, which is returned.

        Raises BadInput for a route that makes no sense, Conflict for a host of another app.
        """
        check_route(route)
        for host in route.hosts:
            owner = self._owners.get(host, route.app)
            if owner != route.app:
                raise Conflict(f"{host} already leads to {owner!r}", hint=f"take it from {owner!r} first")
        old = self.remove(route.app)
        self._routes[route.app] = route
        self._owners.update(dict.fromkeys(route.hosts, route.app))
        return old

    def remove(self, app: str) -> Route | None:
        """Take out an app's route, which is returned; None if it has none."""
        old = self._routes.pop(app, None)
        for host in old.hosts if old else ():
            self._owners.pop(host, None)
        return old

    def holds(self, route: Route) -> bool:
        """Say whether an app's route is still this one."""
        return self._routes.get(route.app) is route

    @property
    def hosts(self) -> Mapping[str, str]:
        """The app of each host name."""
        return self._owners

    def left_by(self, old: Route | None) -> list[str]:
        """Return the host names of a former route that lead nowhere now."""
        return [host for host in old.hosts if host not in self._owners] if old else []

    def endpoints(self, app: str) -> Sequence[Endpoint]:
        """Return where an app's machines listen; none if it has no route."""
        route = self._routes.get(app)
        return route.endpoints if route else ()

    def sessions(self, app: str) -> Sequence[SessionRule]:
        """Return an app's rules for replays that are remembered; none if it has no route."""
        route = self._routes.get(app)
        return route.sessions if route else ()
