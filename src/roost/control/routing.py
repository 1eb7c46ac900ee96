"""Keeps the edge's table equal to what the machines are: the one place that puts and removes routes.

State owned: which machines are drowsy (about to sleep: out of the table, still running). Invariant: an app
is routed when at least one of its machines is started, ready, neither cordoned nor drowsy. Everything here
runs on the event loop. A sync that fails is tried again by the sweep.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from roost.control.core import Core
from roost.control.public_ports import ports_of
from roost.control.readiness import Readiness
from roost.control.statics import statics_of
from roost.edge.contract import Endpoint, PublicPort, Route
from roost.model.certificate import WILDCARD
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Service
from roost.model.port_options import merged
from roost.model.public_ports import Key
from roost.plan.idle import web_service
from roost.plan.public_ports import http_service


class Routing:
    """The edge's table, by app."""

    def __init__(self, core: Core, readiness: Readiness) -> None:
        self._core = core
        self._readiness = readiness
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._routed: dict[str, Route] = {}
        self._ports: dict[str, tuple[PublicPort, ...]] = {}
        self._orgs: dict[str, str] = {}  # of apps, as last read
        self.drowsy: set[str] = set()
        self.private: dict[str, tuple[str, ...]] = {}  # app -> addresses in its private network

    def app_of(self, host: str) -> str | None:
        """Return the app a host name (any case, with or without port) is for, or None. It need not exist."""
        name = host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host
        suffix = f".{self._core.cloud.domain}"
        if name == self._core.cloud.domain:
            return None
        if not name.endswith(suffix):
            found = self._core.store.certificates.serving(name)
            return found[0].app if found else None
        return name[: -len(suffix)]

    def route_of(self, app: str, machines: Iterable[Machine], own: Sequence[str]) -> Route | None:
        """Return what the edge should serve for an app now, also on its `own` host names; None: nothing."""
        endpoints: list[Endpoint] = []
        first = None
        machines = list(machines)
        for machine in self._awake(machines).values():
            if (service := http_service(machine)) is not None:
                first = first or service
                endpoints.append(Endpoint(machine.id, machine.private_ipv4, service.internal_port))
        first = first or _asleep_with_http2(machines)
        if first is None:
            return None
        http = merged(port.http for port in first.ports)
        return Route(
            app=app,
            hosts=(self._core.cloud.app_host(app), *own),
            endpoints=tuple(endpoints),
            region=self._core.region,
            force_https=any(port.force_https for port in first.ports),
            hard_limit=first.hard_limit,
            soft_limit=first.soft_limit,
            by_connection=first.concurrency_type == "connections",
            private=self.private.get(app, ()),
            sessions=tuple(dict.fromkeys(rule for port in first.ports for rule in port.sessions)),
            idle_timeout=http.idle_timeout,
            http=http,
            org=self._orgs.get(app, ""),
            limits=first.rate_limits,
            statics=statics_of(app, machines),
            others=self._below(app, own, depth=1),
        )

    def _below(self, app: str, own: Sequence[str], *, depth: int = 0) -> tuple[str, ...]:
        """Return the names below an app's wildcards that are not its: so many labels below, 0 for any number."""
        found: set[str] = set()
        for wildcard in (name for name in own if name.startswith(WILDCARD)):
            base = wildcard.removeprefix(WILDCARD)
            names = {*self._core.store.certificates.below(wildcard, but=app), self._core.cloud.domain}
            below = {name for name in names if name.endswith(f".{base}")}
            found |= {name for name in below if not depth or name.count(".") == base.count(".") + depth}
        return tuple(sorted(found))

    def _awake(self, machines: Iterable[Machine]) -> dict[str, Machine]:
        """Return those that get requests, by id."""
        return {
            machine.id: machine
            for machine in machines
            if web_service(machine) is not None
            and machine.state is MachineState.STARTED
            and not machine.cordoned
            and machine.id not in self.drowsy
            and self._readiness.is_ready(machine)
        }

    def ports_of(self, app: str, machines: Sequence[Machine], claims: Sequence[Key]) -> tuple[PublicPort, ...]:
        """Return what the edge should serve for an app on its own ports."""
        if not claims:
            return ()
        row = self._core.store.apps.find(app)
        own = self._core.store.certificates.hosts(app)
        # A wildcard in a TLS greeting's place stands for all that is below it: not where that is others', too.
        alone = [name for name in own if not name.startswith(WILDCARD) or not self._below(app, [name])]
        hosts = (self._core.cloud.app_host(app), *alone)
        org = row.org if row else ""
        return ports_of(app, org, self._core.region, hosts, claims, machines, self._awake(machines))

    async def _sync_ports(self, app: str, machines: Sequence[Machine]) -> None:
        ports = self.ports_of(app, machines, self._core.store.public_ports.of_app(app))
        if ports != self._ports.get(app, ()):
            self._ports[app] = ports
            if not ports:
                del self._ports[app]
            await self._core.edge.put_ports(app, ports)

    async def sync(self, app: str) -> None:
        """Make the edge serve the app as its machines are now; returns when Envoy has acknowledged it."""
        async with self._turns[app]:
            if row := self._core.store.apps.find(app):
                self._orgs[app] = row.org
            own = self._core.store.certificates.hosts(app)
            machines = self._core.store.machines.list(app)
            route = self.route_of(app, machines, own)
            await self._sync_ports(app, machines)
            if route == self._routed.get(app):
                return
            if route is None:
                self._routed.pop(app, None)
                self._orgs.pop(app, None)
                await self._core.edge.remove(app)
            else:
                self._routed[app] = route
                await self._core.edge.put(route)

    def outdated(self, running: Iterable[Machine]) -> list[str]:
        """Return the apps whose routes are not what these machines, all that run, ask for."""
        by_app: dict[str, list[Machine]] = {app: [] for app in self._routed}
        for machine in running:
            by_app.setdefault(machine.app, []).append(machine)
        own = self._core.store.certificates.all_hosts()
        routes = {
            app
            for app, machines in by_app.items()
            if self.route_of(app, machines, own.get(app, ())) != self._routed.get(app)
        }
        claims = self._core.store.public_ports.all()
        ports = {
            app
            for app in claims.keys() | self._ports.keys()
            if self.ports_of(app, self._all(app), claims.get(app, ())) != self._ports.get(app, ())
        }
        return sorted(routes | ports)

    def _all(self, app: str) -> list[Machine]:
        return self._core.store.machines.list(app)

    async def sync_all(self) -> None:
        """Set the whole table, at the start."""
        self._orgs = {row.name: row.org for row in self._core.store.apps.list()}
        machines: dict[str, list[Machine]] = defaultdict(list)
        for machine in self._core.store.machines.in_states(MachineState.STARTED):
            machines[machine.app].append(machine)
        for app in self._core.store.machines.apps_with("h2_backend"):  # these are routed asleep, too
            machines[app] = self._all(app)
        own = self._core.store.certificates.all_hosts()
        found = ((app, self.route_of(app, of_app, own.get(app, ()))) for app, of_app in machines.items())
        routes = {app: route for app, route in found if route is not None}
        self._routed = dict(routes)
        claims = self._core.store.public_ports.all().items()
        ports = {app: self.ports_of(app, self._all(app), keys) for app, keys in claims}
        self._ports = {app: found for app, found in ports.items() if found}
        await self._core.edge.replace_all(list(routes.values()), self._ports)


def _asleep_with_http2(machines: Iterable[Machine]) -> Service | None:
    """Return the service of an app that sleeps and speaks HTTP/2 only, for which the edge keeps the route."""
    for machine in machines:
        service = http_service(machine)
        if service and not machine.cordoned and any(port.http.h2_backend for port in service.ports):
            return service
    return None
