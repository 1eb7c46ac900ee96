"""The verbs on IP assignments: which app uses the server's address, and which has one in its private network.

A private address follows from the app's number. State: rows; what the host and the edge know of private ones is made
from them, at each change and whenever roostd starts, so a kill between is put right. Order: the host first opens the
way for the app's network (and closes those of apps that are gone), then the row says that it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.control.core import Core, log
from roost.control.routing import Routing
from roost.host.contract import PrivateAddress
from roost.model.app import App, private_network
from roost.model.errors import FailedPrecondition, RoostError
from roost.model.ip_assignment import PRIVATE, IpAssignment, check_type
from roost.model.machine import Machine
from roost.plan.addresses import flycast_ipv4, flycast_ipv6

_HTTP = 80


class IpAssignments:
    """Addresses under which an app is reached."""

    def __init__(self, core: Core, routing: Routing) -> None:
        self._core = core
        self._routing = routing

    def list(self, app: str) -> list[IpAssignment]:
        """Return an app's assignments, oldest first."""
        self._core.store.apps.get(app)
        return self._core.store.ip_assignments.list(app)

    def create(self, app: str, kind: str, *, region: str = "", service_name: str = "") -> IpAssignment:
        """Assign an address of a type; raises BadInput, Unprocessable for a type that a server doesn't have."""
        kind = check_type(kind)
        core = self._core
        found = core.store.apps.get(app)
        if kind == PRIVATE:
            with core.locks.holding(_LOCK):
                made = IpAssignment(
                    app, str(flycast_ipv6(core.cloud, found.number)), region or core.region, service_name, core.now()
                )
                self._serve([*self._private_apps(), found])
                made = core.store.ip_assignments.add(made)
            self._route(app)
            return made
        if not core.public_ipv4:
            raise FailedPrecondition(
                "failed_precondition: this server has no way to the outside, so its address isn't known",
                hint='name it in config.toml: [edge] address = "203.0.113.7"',
            )
        made = IpAssignment(app, core.public_ipv4, region or core.region, service_name, core.now())
        return core.store.ip_assignments.add(made)

    def destroy(self, app: str, ip: str) -> None:
        """Take an address back; raises NotFound."""
        found = self._core.store.apps.get(app)
        with self._core.locks.holding(_LOCK):
            self._core.store.ip_assignments.remove(app, ip)
            if ip == str(flycast_ipv6(self._core.cloud, found.number)):
                self._serve(self._private_apps())
        self._route(app)

    def resume(self) -> None:
        """Serve what the rows say, after roostd was away or an app is gone."""
        try:
            with self._core.locks.holding(_LOCK):
                self._serve(self._private_apps())
        except RoostError as error:
            log.warning("private addresses of apps are not served", error=error.message)

    def _private_apps(self) -> Sequence[App]:
        names = self._core.store.ip_assignments.apps_with(str(self._core.cloud.ipv6_network).partition("::")[0] + ":")
        return [app for name in sorted(names) if (app := self._core.store.apps.find(name)) is not None]

    def _serve(self, apps: Iterable[App]) -> None:
        cloud = self._core.cloud
        served: dict[str, PrivateAddress] = {}
        for app in apps:
            ipv4 = flycast_ipv4(cloud, app.number)
            ports = ports_of(self._core.store.machines.list(app.name))
            served[app.name] = PrivateAddress(
                private_network(app), str(ipv4) if ipv4 else "", str(flycast_ipv6(cloud, app.number)), ports
            )
        self._core.host.serve_privately(list(served.values()))
        self._routing.private = {
            name: tuple(filter(None, (address.ipv4, address.ipv6))) for name, address in served.items()
        }

    def _route(self, app: str) -> None:
        self._core.on_loop(self._routing.sync(app))


_LOCK = "private addresses"


def ports_of(machines: Iterable[Machine]) -> tuple[int, ...]:
    """Return the ports at which private addresses answer: 80, and those that services serve as plain HTTP."""
    found = {
        port.port
        for machine in machines
        for service in machine.config.services[:1]
        for port in service.ports
        if "http" in port.handlers and "tls" not in port.handlers
    }
    return tuple(sorted(found | {_HTTP}))
