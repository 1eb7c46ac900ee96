"""The edge of one host: its cells, the front that joins them, and the apps that control has put there.

State: the routes that control put, and the apps that were taken out and whose cluster stays in Envoy
until their last request has ended (`_leaving`). An app is in the cells of its org (`plan.cells`). Order: a
cluster is there before its virtual host, and goes after it; the front leads to a cell what the cell has.
All of it can be lost: control puts its routes again, Envoy says what it has. An Envoy that dies is started
again and gets the whole table; one that roostd finds running is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roost.edge.activator import StaticDoor
from roost.edge.cell import Cell
from roost.edge.cell_plan import plans_of
from roost.edge.challenges import Challenges
from roost.edge.contract import (
    CertificateSource,
    EdgeStatus,
    Endpoint,
    Load,
    NoCertificates,
    PublicPort,
    Route,
    Traffic,
    Waker,
)
from roost.edge.feed import RequestFeed, Take
from roost.edge.flycast import ROUTES_NAME as PRIVATE_ROUTES
from roost.edge.flycast import private_virtual_host
from roost.edge.front import Front
from roost.edge.front_plan import front_of_cells
from roost.edge.http_doors import HttpDoors
from roost.edge.leftovers import end_others
from roost.edge.loads import Loads
from roost.edge.options import USUAL, EdgeOptions
from roost.edge.port_table import Guard, PortTable
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.postgres_ports import PostgresPorts
from roost.edge.process import Limit, Spawn, accepts
from roost.edge.protos import CLUSTER, ROUTES, VIRTUAL_HOST
from roost.edge.replay_cache import ReplayCache
from roost.edge.replay_server import Remembered
from roost.edge.rollout import RollOut
from roost.edge.shared import Shared
from roost.edge.slots import Slots
from roost.edge.snapshot import (
    Ports,
    app_cluster,
    app_virtual_host,
    check_route,
    cluster_name,
    virtual_host,
    virtual_host_name,
)
from roost.edge.static_paths import FindStatics, statics_socket
from roost.edge.status import status_of
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, HostFailure
from roost.model.steering import SessionRule
from roost.plan.cells import common_cells, shard, shards

MEASURE_PERIOD = 1.0  # seconds between readings of Envoy's gauges
MEASURE_PART = 4  # a reading may take a part of the time like this: with very many apps there are fewer
READY_TIMEOUT = 30.0
LISTEN_TIMEOUT = 2.0
DRAIN_LOOK = 0.03  # seconds between two looks at an app's requests; its workers have new routes by then
_log = logging.getLogger("roost.edge")


class EnvoyEdge:
    """The `Edge` contract on Envoy. `spawn` starts a detached process and returns its pid.

    `limit` puts limits on a process that was started, `guard` is told which ports of apps there are.
    """

    def __init__(
        self,
        cloud: Cloud,
        waker: Waker,
        spawn: Spawn,
        options: EdgeOptions = USUAL,
        *,
        certificates: CertificateSource | None = None,
        statics: FindStatics | None = None,
        limit: Limit = lambda _name, _pid: None,
        guard: Guard = lambda _ports: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cloud, self._clock, self._options = cloud, clock, options
        self._common = common_cells(options.cells)
        self.challenges = Challenges()
        self._feed = RequestFeed()
        self._remembered = Remembered(ReplayCache(), self._rules_of, self._recached)
        self._slots = Slots(self._freed)
        self._narrowed: set[str] = set()  # apps of which Envoy may let in fewer, while roostd has some
        shared = Shared(
            cloud, options, spawn, limit, clock, waker, certificates or NoCertificates(),
            StaticDoor(statics_socket(cloud.run), statics) if statics else None,
            self.challenges, self._remembered, self._slots, self._feed,
        )  # fmt: skip
        self._cells = {plan.name: Cell(plan, shared) for plan in plans_of(self._common, options.own)}
        self._ports = Ports(cloud.http_port, cloud.https_port, challenged=not options.shared)
        self._front: Front | None = None
        if len(self._cells) > 1:
            sockets = {name: cell.place.incoming for name, cell in self._cells.items() if cell.place.incoming}
            design = front_of_cells(cloud, sockets, shards(self._common, options.own))
            self._front = Front(cloud, design, spawn, limit)
        self._public = PortTable(
            self._cells,
            lambda org: self._cells[shard(org, self._common, self._options.own)[0]],
            waker,
            lambda cells, cell_of: PostgresPorts(cloud, options.postgres_port, cells, cell_of, spawn, limit),
            guard,
            refused=self._feed.refused,
        )
        self._doors = HttpDoors(waker, self._feed.refused)
        self._measurer: asyncio.Task[None] | None = None
        self._roll_out = RollOut(list(self._cells.values()), self._places)
        self._roller: asyncio.Task[None] | None = None
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, str] = {}  # host -> app
        self._leaving: set[str] = set()
        self._led: set[str] = set()  # apps with paths that lead to the replay server

    async def start(self) -> None:
        """Serve xDS and the activators, read the log of requests; start what does not run, adopt what does.

        Raises Conflict when the public port is taken, HostFailure when Envoy does not come up.
        """
        self._feed.start()
        try:
            fronts = {
                name for name, there in (("front", self._front), (POSTGRES, self._options.postgres_port)) if there
            }
            await end_others(self._cloud, {cell.files.pid for cell in self._cells.values()}, fronts=fronts)
            async with asyncio.TaskGroup() as group:
                for cell in self._cells.values():
                    group.create_task(cell.start())
            self._roller = asyncio.create_task(self._roll_out.run())
            if self._front is not None:
                # One that finds a cell without its sockets leads its orgs to their second cells first.
                await asyncio.gather(*(cell.listens(LISTEN_TIMEOUT) for cell in self._cells.values()))
                await self._front.start()
        except BaseException as error:
            await self.stop(envoy_too=False)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise
        if not await accepts(self._cloud.http_port, READY_TIMEOUT):
            refusals = [cell.xds.latest_refusal for cell in self._cells.values()]
            _log.warning("the edge does not listen on port %d yet: %s", self._cloud.http_port, refusals)
        self._measurer = asyncio.create_task(self._keep_measuring())

    async def stand_in(self) -> None:
        """Without roostd: keep what runs running, with the last good configuration; nobody is woken."""
        await asyncio.gather(*(cell.stand_in() for cell in self._cells.values()))
        if self._front is not None:
            await self._front.start()
        await self._public.postgres.stand_in()

    async def stop(self, *, envoy_too: bool) -> None:
        """Stop serving; end Envoy only when asked, since it outlives roostd."""
        for task in (self._measurer, self._roller):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._measurer = self._roller = None
        await self._public.close(front_too=envoy_too)
        await self._doors.close_all()
        await asyncio.gather(*(cell.stop(envoy_too=envoy_too) for cell in self._cells.values()))
        if self._front is not None:
            await self._front.stop(front_too=envoy_too)
        await asyncio.to_thread(self._feed.stop)

    async def put(self, route: Route, *, timeout: float = 5.0) -> None:
        """Route an app; returns when the cells have acknowledged it, or after `timeout` seconds without.

        Raises BadInput for a route that makes no sense, Conflict for a host of another app, HostFailure
        with Envoy's words when it refuses the route.
        """
        check_route(route)
        old = self._routes.get(route.app)
        self._claim(route)
        deadline = time.monotonic() + timeout
        self._leaving.discard(route.app)
        self._routes[route.app] = route
        cells, holders = self._cells_of(route), self._holders(route)
        await self._doors.follow(route, holders)
        for cell in holders:
            self._set_cluster(cell, route)
        await self._settled(holders, CLUSTER, [cluster_name(route.app)], deadline)
        if self._routes.get(route.app) is not route:
            return
        for cell in cells:
            cell.xds.set(VIRTUAL_HOST, self._virtual_host(cell, route))
        await self._settled(cells, VIRTUAL_HOST, [virtual_host_name(route.app)], deadline)
        await self._serve_privately(route, old, deadline - time.monotonic())
        if self._routes.get(route.app) is route:
            self._doors.acknowledged(route)
            await self._lead(route, old)
            self._take_out(route.app, [cell for cell in self._cells.values() if cell not in holders])

    async def remove(self, app: str, *, timeout: float = 5.0) -> bool:
        """Take an app out, so that new requests go to the activator; True once Envoy acknowledged.

        Requests under way go on. The app's cluster stays until they have ended.
        """
        old = self._routes.get(app)
        self._forget(app)
        cells = list(self._cells.values())
        self._take_out(app, cells)
        await self._serve_privately(None, old, timeout)
        gone = await asyncio.gather(*(self._settle(cell, cells, app, timeout) for cell in cells))
        if self._front is not None and old is not None and app not in self._routes:
            await self._front.forget([host for host in old.hosts if host not in self._owners])
        if app not in self._routes:
            await self._doors.close(app)
        return all(answer == "" for answer in gone)

    async def put_ports(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Have these public ports, and no others, lead to the app alone; returns when Envoy has answered."""
        await self._public.put(app, ports)

    async def replace_all(
        self, routes: list[Route], ports: Mapping[str, Sequence[PublicPort]] = MappingProxyType({})
    ) -> None:
        """Set the whole table, after a restart of roostd. Envoy is told the differences only."""
        await self._public.replace_all(ports)
        wanted = {route.app: route for route in routes}
        for app in set(self._routes) - set(wanted):
            self._forget(app)
            self._take_out(app, list(self._cells.values()))
            await self._doors.close(app)
        for route in wanted.values():
            check_route(route)
            self._claim(route)
            self._leaving.discard(route.app)
            self._routes[route.app] = route
            await self._doors.follow(route, self._holders(route))
            for cell in self._holders(route):
                self._set_cluster(cell, route)
        for route in wanted.values():  # sent when the cluster is acknowledged
            for cell in self._cells_of(route):
                cell.xds.set(VIRTUAL_HOST, self._virtual_host(cell, route))
        self._feed.all_routed()
        deadline = time.monotonic() + 5.0 + len(wanted) / 1000
        self._set_private()
        for cell in self._cells.values():
            names = [name for name in map(virtual_host_name, wanted) if name in cell.xds.table[VIRTUAL_HOST]]
            await self._settled([cell], VIRTUAL_HOST, names, deadline)
            cell.xds.mark_complete()
        for cell in self._cells.values():
            await self._settled([cell], VIRTUAL_HOST, cell.xds.beyond(VIRTUAL_HOST), deadline)
        for route in wanted.values():
            self._doors.acknowledged(route)
        if self._front is not None:
            await self._front.lead_all(
                {host: self._shard(route) for route in self._routes.values() for host in route.hosts}
            )

    def certificates_changed(self, hosts: Iterable[str]) -> None:
        """Have the certificates of these host names looked up again; the source says what they are now."""
        changed = list(hosts)
        for cell in self._cells.values():
            cell.secrets.changed(changed)

    def app_is_gone(self, app: str) -> None:
        """Forget what was seen and remembered of an app that is no more; a later one may have its name."""
        self._remembered.cache.forget_all(app)
        for cell in self._cells.values():
            cell.book.forget(app)

    def keep_requests(self, take: Take) -> None:
        """Say who takes the requests that have ended, in lots, on a thread of the edge's; before `start`."""
        self._feed.take = take

    @property
    def unlogged(self) -> int:
        """Requests that were served and not handed on, because they came faster than that."""
        return self._feed.dropped

    def traffic(self, app: str) -> Traffic:
        """Return what was seen of an app since roostd started; what began before is in `active`."""
        seen = [cell.book.traffic(app) for cell in self._cells.values()]
        return Traffic(sum(one.active for one in seen), max(one.last_request_at for one in seen))

    async def has_requests(self, app: str) -> bool:
        """Ask Envoy whether a request of the app is under way now; True also when it does not tell."""
        return not await self._is_quiet(app)

    async def loads(self) -> Mapping[str, Load] | None:
        """Return what each awake app had under way at the latest reading; None when a running Envoy does not tell."""
        readings = [cell.gauges for cell in self._cells.values() if cell.pid]
        known = [reading for reading in readings if reading is not None]
        return Loads(self._routes, known) if len(known) == len(readings) else None

    async def drained(self, app: str, *, timeout: float) -> bool:
        """Wait until no request of the app is under way; False at the deadline.

        Trusts Envoy's gauges, not the access log: two readings without a request, far enough apart that
        every worker has the routes that were acknowledged. A removed app's cluster goes then.
        """
        deadline = time.monotonic() + timeout
        quiet = 0
        while True:
            quiet = quiet + 1 if await self._is_quiet(app) else 0
            if quiet == 2:
                if app in self._leaving:
                    self._drop_cluster(app)
                return True
            if time.monotonic() + DRAIN_LOOK > deadline:
                return False
            await asyncio.sleep(DRAIN_LOOK)

    async def ejected(self, app: str) -> list[str]:
        """Return the machines of an app that get no requests for a while in one of its cells: they failed in a row."""
        route = self._routes.get(app)
        if route is None or len(route.endpoints) < 2:
            return []
        found = await asyncio.gather(*(cell.ejected(app) for cell in self._cells_of(route)))
        places = {place for places in found for place in places}
        return sorted({one.machine_id for one in route.endpoints if (one.address, one.port) in places})

    def status(self) -> EdgeStatus:
        """Return how the edge is."""
        return status_of(
            self._cloud, list(self._cells.values()), self._front, self._roll_out,
            routes=len(self._routes), leaving=len(self._leaving), port_troubles=self._public.troubles,
            postgres=self._public.postgres.detail(),
        )  # fmt: skip

    def _places(self, app: str) -> Sequence[Endpoint]:
        route = self._routes.get(app)
        return route.endpoints if route else ()

    def _shard(self, route: Route) -> tuple[str, ...]:
        return shard(route.org, self._common, self._options.own)

    def _cells_of(self, route: Route) -> list[Cell]:
        return [self._cells[name] for name in self._shard(route)]

    def _holders(self, route: Route) -> list[Cell]:
        """Return the cells that have the app's cluster: its own, and the one for private addresses if it has any."""
        own = self._shard(route)
        return [cell for name, cell in self._cells.items() if name in own or (cell.place.private and route.private)]

    async def _settled(self, cells: Sequence[Cell], kind: str, names: list[str], deadline: float) -> None:
        """Wait for the cells' acknowledgement; one that is down is waited for only when it is the only one."""
        left = max(0.0, deadline - time.monotonic())
        needed = len(self._cells) == 1
        answers = await asyncio.gather(*(cell.settle(kind, names, left, needed=needed) for cell in cells))
        if refusal := next((answer for answer in answers if answer), ""):
            raise HostFailure(f"Envoy refused a route: {refusal}", hint="`roost status` shows the edge")

    @staticmethod
    async def _settle(cell: Cell, cells: Sequence[Cell], app: str, timeout: float) -> str | None:
        return await cell.settle(VIRTUAL_HOST, [virtual_host_name(app)], timeout, needed=len(cells) == 1)

    def _take_out(self, app: str, cells: Sequence[Cell]) -> None:
        """Delete the app's virtual host in these cells, and its cluster once its requests have ended."""
        if any(cluster_name(app) in cell.xds.table[CLUSTER] for cell in cells):
            self._leaving.add(app)
        for cell in cells:
            cell.xds.delete(VIRTUAL_HOST, virtual_host_name(app))

    async def _lead(self, route: Route, old: Route | None) -> None:
        if self._front is None:
            return
        await self._front.lead(route.hosts, self._shard(route))
        if old is not None:
            await self._front.forget([host for host in old.hosts if host not in self._owners])

    def _claim(self, route: Route) -> None:
        for host in route.hosts:
            owner = self._owners.get(host, route.app)
            if owner != route.app:
                raise Conflict(f"{host} already leads to {owner!r}", hint=f"take it from {owner!r} first")
        self._forget(route.app)
        self._feed.routed(route)
        self._owners.update(dict.fromkeys(route.hosts, route.app))

    def _forget(self, app: str) -> None:
        old = self._routes.pop(app, None)
        for host in old.hosts if old else ():
            self._owners.pop(host, None)

    def _rules_of(self, app: str) -> Sequence[SessionRule]:
        route = self._routes.get(app)
        return route.sessions if route else ()

    def _recached(self, app: str) -> None:
        """Lead the paths of an app whose replays are remembered to the replay server, and others straight."""
        route = self._routes.get(app)
        if route is None:
            self._led.discard(app)
            self._narrowed.discard(app)
            return
        for cell in self._cells_of(route):
            if virtual_host_name(app) in cell.xds.table[VIRTUAL_HOST]:
                cell.xds.set(VIRTUAL_HOST, self._virtual_host(cell, route))

    def _set_cluster(self, cell: Cell, route: Route) -> None:
        door = self._doors.path(cell, route.app)
        cell.xds.set(CLUSTER, app_cluster(route, door, admission=cell.place.admission))

    def _virtual_host(self, cell: Cell, route: Route) -> Any:
        paths = self._remembered.cache.paths(route.app, self._clock())
        (self._led.add if paths else self._led.discard)(route.app)
        taken = self._slots.held(route.app) if route.hard_limit else 0
        (self._narrowed.add if taken else self._narrowed.discard)(route.app)
        return app_virtual_host(route, self._ports, paths, admission=cell.place.admission, taken=taken)

    def _freed(self, app: str) -> None:
        if app in self._narrowed:
            self._recached(app)

    async def _serve_privately(self, route: Route | None, old: Route | None, timeout: float) -> None:
        """Bring the routes of private addresses up to date after a change; returns when they are acknowledged."""
        if (route and route.private) or (old and old.private):
            self._set_private()
            for cell in self._cells.values():
                if cell.place.private:
                    await cell.settle(ROUTES, [PRIVATE_ROUTES], max(0.0, timeout), needed=False)

    def _set_private(self) -> None:
        """Bring the routes of private addresses up to date, in the cell that serves them."""
        for cell in self._cells.values():
            if cell.place.private:
                found = [
                    private_virtual_host(
                        virtual_host(
                            route,
                            self._ports,
                            self._remembered.cache.paths(route.app, self._clock()),
                            admission=cell.place.admission,
                        ),
                        route.private,
                    )
                    for route in self._routes.values()
                    if route.private and cluster_name(route.app) in cell.xds.table[CLUSTER]
                ]
                cell.serve_privately(found)

    async def _is_quiet(self, app: str) -> bool:
        if any(cell.book.spliced(app) for cell in self._cells.values()):
            return False
        readings = await asyncio.gather(*(cell.active(app) for cell in self._cells.values()))
        return all(reading is not None and not reading.get(app) for reading in readings)

    async def _keep_measuring(self) -> None:
        pause = MEASURE_PERIOD
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            await self._measure()
            pause = max(MEASURE_PERIOD, MEASURE_PART * (time.monotonic() - began))
            if self._front is not None:
                await self._front.repair()

    async def _measure(self) -> None:
        """Read Envoy's gauges, put the books right, and drop clusters and paths whose time is over."""
        for app in {*self._remembered.cache.apps(), *self._led, *self._narrowed}:
            self._recached(app)
        for cell in self._cells.values():
            cell.follow_certificates(self._owners)
        readings = await asyncio.gather(*(cell.measure() for cell in self._cells.values()))
        known = [reading for reading in readings if reading is not None]
        if len(known) == len(readings):
            for app in [app for app in self._leaving if not any(app in reading for reading in known)]:
                self._drop_cluster(app)
            await self._public.look_after(app for reading in known for app in reading)

    def _drop_cluster(self, app: str) -> None:
        """Delete the app's cluster wherever its virtual host is gone."""
        self._leaving.discard(app)
        route = self._routes.get(app)
        if route is None:
            self._feed.forget(app)
        for cell in self._cells.values():
            if route is not None and cell in self._holders(route):
                continue
            if virtual_host_name(app) not in cell.xds.table[VIRTUAL_HOST]:
                cell.xds.delete(CLUSTER, cluster_name(app))
