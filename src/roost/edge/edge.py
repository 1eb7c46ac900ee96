"""The edge of one host: its cells, the front that joins them, and the apps that control has put there.

State: that of its parts. Control's routes are in the table (`route_table`); what they are in Envoy, in the cells of the
app's org (`app_resources`); apps that were taken out leave slowly (`draining`). Order: a cluster is there before its
virtual host, and goes after it; the front leads to a cell what the cell has. All of it can be lost: control puts its
routes again, Envoy says what it has. An Envoy that dies is started again and gets the whole table; one that roostd
finds running is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType

from roost.edge.activator import StaticDoor
from roost.edge.app_resources import AppResources
from roost.edge.cells import Cells
from roost.edge.challenges import Challenges
from roost.edge.contract import CertificateSource, EdgeStatus, Load, NoCertificates, PublicPort, Route, Traffic, Waker
from roost.edge.draining import Draining
from roost.edge.feed import RequestFeed, Take
from roost.edge.front import Front
from roost.edge.front_plan import front_of_cells
from roost.edge.http_doors import HttpDoors
from roost.edge.leading import Leading
from roost.edge.leftovers import end_others
from roost.edge.loads import Loads
from roost.edge.options import USUAL, EdgeOptions
from roost.edge.port_table import Guard, PortTable
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.postgres_ports import PostgresPorts
from roost.edge.private_routes import PrivateRoutes
from roost.edge.process import Limit, Spawn, accepts
from roost.edge.protos import VIRTUAL_HOST
from roost.edge.replay_cache import ReplayCache
from roost.edge.replay_server import Remembered
from roost.edge.rollout import RollOut
from roost.edge.route_table import RouteTable
from roost.edge.shared import Shared
from roost.edge.slots import Slots
from roost.edge.snapshot import virtual_host_name
from roost.edge.static_paths import FindStatics, statics_socket
from roost.edge.status import status_of
from roost.edge.upkeep import Upkeep
from roost.model.cloud import Cloud

READY_TIMEOUT = 30.0
LISTEN_TIMEOUT = 2.0
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
        self.challenges, self._routes = Challenges(), RouteTable()
        self._shared = shared = Shared(
            cloud, options, spawn, limit, clock, waker, certificates or NoCertificates(),
            StaticDoor(statics_socket(cloud.run), statics) if statics else None, self.challenges,
            Remembered(ReplayCache(), self._routes.sessions, lambda app: self._resources.renew(app)),
            Slots(lambda app: self._resources.freed(app)), RequestFeed(),
        )  # fmt: skip
        self._cells = cells = Cells(shared)
        self._resources = AppResources(cells, self._routes, shared)
        self._private = PrivateRoutes(cells, self._routes, self._resources)
        self._draining = Draining(cells, self._routes, shared.feed.forget)
        self._doors = HttpDoors(waker, shared.feed.refused)
        postgres = PostgresPorts(cloud, options, cells, spawn, limit)
        self._public = PortTable(cells, waker, postgres, guard, shared.feed.refused)
        self._front = _front_of(cells, shared)
        self._leading = Leading(self._front, cells, self._routes)
        self._roll_out = RollOut(list(cells.values()), self._routes.endpoints)
        self._upkeep = Upkeep(cells, self._routes, self._resources, self._draining, self._public, self._front)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve xDS and the activators, read the log of requests; start what does not run, adopt what does.

        Raises Conflict when the public port is taken, HostFailure when Envoy does not come up.
        """
        self._shared.feed.start()
        try:
            await self._end_others()
            async with asyncio.TaskGroup() as group:
                for cell in self._cells.values():
                    group.create_task(cell.start())
            self._tasks.append(asyncio.create_task(self._roll_out.run()))
            if self._front is not None:
                # One that finds a cell without its sockets leads its orgs to their second cells first.
                await asyncio.gather(*(cell.listens(LISTEN_TIMEOUT) for cell in self._cells.values()))
                await self._front.start()
        except BaseException as error:
            await self.stop(envoy_too=False)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise
        if not await accepts(self._shared.cloud.http_port, READY_TIMEOUT):
            refusals = [cell.xds.latest_refusal for cell in self._cells.values()]
            _log.warning("the edge does not listen on port %d yet: %s", self._shared.cloud.http_port, refusals)
        self._tasks.append(asyncio.create_task(self._upkeep.run()))

    async def stand_in(self) -> None:
        """Without roostd: keep what runs running, with the last good configuration; nobody is woken."""
        await asyncio.gather(*(cell.stand_in() for cell in self._cells.values()))
        if self._front is not None:
            await self._front.start()
        await self._public.postgres.stand_in()

    async def stop(self, *, envoy_too: bool) -> None:
        """Stop serving; end Envoy only when asked, since it outlives roostd."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):  # the rest is to be stopped all the same
                _log.error("a part of the edge had failed", exc_info=outcome)
        self._tasks.clear()
        await self._public.close(front_too=envoy_too)
        await self._doors.close_all()
        await asyncio.gather(*(cell.stop(envoy_too=envoy_too) for cell in self._cells.values()))
        if self._front is not None:
            await self._front.stop(front_too=envoy_too)
        await asyncio.to_thread(self._shared.feed.stop)

    async def put(self, route: Route, *, timeout: float = 5.0) -> None:
        """Route an app; returns when the cells have acknowledged it, or after `timeout` seconds without.

        Raises BadInput for a route that makes no sense, Conflict for a host of another app, HostFailure
        with Envoy's words when it refuses the route.
        """
        old = self._take(route)
        deadline = time.monotonic() + timeout
        holders = self._cells.holders(route)
        await self._doors.follow(route, holders)
        if not await self._resources.put(route, deadline):
            return
        await self._private.follow(route, old, deadline - time.monotonic())
        if self._routes.holds(route):
            self._doors.acknowledged(route)
            await self._leading.follow(route, old)
            self._draining.take_out(route.app, [cell for cell in self._cells.values() if cell not in holders])

    async def remove(self, app: str, *, timeout: float = 5.0) -> bool:
        """Take an app out, so that new requests go to the activator; True once Envoy acknowledged.

        Requests under way go on. The app's cluster stays until they have ended.
        """
        old = self._routes.remove(app)
        cells = list(self._cells.values())
        self._draining.take_out(app, cells)
        await self._private.follow(None, old, timeout)
        names = [virtual_host_name(app)]
        gone = await asyncio.gather(
            *(cell.settle(VIRTUAL_HOST, names, timeout, needed=cell.plan.alone) for cell in cells)
        )
        if app not in self._routes:
            await self._leading.leave(old)
            await self._doors.close(app)
        return all(answer == "" for answer in gone)

    async def put_ports(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Have these public ports, and no others, lead to the app alone; returns when Envoy has answered."""
        for port in ports:
            self._shared.feed.routed(port)
        await self._public.put(app, ports)
        await self._leading.follow_ports(app, ports)

    async def replace_all(
        self, routes: list[Route], ports: Mapping[str, Sequence[PublicPort]] = MappingProxyType({})
    ) -> None:
        """Set the whole table, after a restart of roostd. Envoy is told the differences only."""
        every = [port for found in ports.values() for port in found]
        for port in every:
            self._shared.feed.routed(port)
        await self._public.replace_all(ports)
        wanted = {route.app: route for route in routes}
        for app in set(self._routes) - set(wanted):
            self._routes.remove(app)
            self._draining.take_out(app, list(self._cells.values()))
            await self._doors.close(app)
        for route in wanted.values():
            self._take(route)
            await self._doors.follow(route, self._cells.holders(route))
            self._resources.set_cluster(route)
        for route in wanted.values():
            self._resources.set_virtual_host(route)
        self._shared.feed.all_routed()
        deadline = time.monotonic() + 5.0 + len(wanted) / 1000
        self._private.follow_all()
        await self._cells.complete(wanted, deadline)
        for route in wanted.values():
            self._doors.acknowledged(route)
        await self._leading.all(every)

    def certificates_changed(self, hosts: Iterable[str]) -> None:
        """Have the certificates of these host names looked up again; the source says what they are now."""
        changed = list(hosts)
        for cell in self._cells.values():
            cell.secrets.changed(changed)

    async def show_names_apart(self) -> None:
        """Show each name of the cloud's domain a certificate of its own from now on, and let authorities check names.

        Until now they may have shared one. Twice is once. Raises HostFailure with Envoy's words when it refuses.
        """
        cells = [cell for cell in self._cells.values() if cell.place.shared]
        if cells:
            self._resources.let_names_be_checked()
            self._private.follow_all()
            await asyncio.gather(*(cell.show_names_apart() for cell in cells))
            await self._public.renew()

    def app_is_gone(self, app: str) -> None:
        """Forget what was seen and remembered of an app that is no more; a later one may have its name."""
        self._shared.remembered.cache.forget_all(app)
        for cell in self._cells.values():
            cell.book.forget(app)

    def keep_requests(self, take: Take) -> None:
        """Say who takes the requests that have ended, in lots, on a thread of the edge's; before `start`."""
        self._shared.feed.take = take

    @property
    def unlogged(self) -> int:
        """Requests that were served and not handed on, because they came faster than that."""
        return self._shared.feed.dropped

    def traffic(self, app: str) -> Traffic:
        """Return what was seen of an app since roostd started; what began before is in `active`."""
        seen = [cell.book.traffic(app) for cell in self._cells.values()]
        return Traffic(sum(one.active for one in seen), max(one.last_request_at for one in seen))

    async def has_requests(self, app: str) -> bool:
        """Ask Envoy whether a request of the app is under way now; True also when it does not tell."""
        return not await self._draining.is_quiet(app)

    async def loads(self) -> Mapping[str, Load] | None:
        """Return what each awake app had under way at the latest reading; None when a running Envoy does not tell."""
        readings = [cell.gauges for cell in self._cells.values() if cell.pid]
        known = [reading for reading in readings if reading is not None]
        return Loads(self._routes, known) if len(known) == len(readings) else None

    def around_reading(self, look: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Have something done right before and right after each reading of the gauges."""
        self._upkeep.around_reading = look

    async def drained(self, app: str, *, timeout: float) -> bool:
        """Wait until no request of the app is under way; False at the deadline. A removed app's cluster goes then."""
        return await self._draining.drained(app, timeout)

    async def ejected(self, app: str) -> list[str]:
        """Return the machines of an app that get no requests for a while in one of its cells: they failed in a row."""
        route = self._routes.get(app)
        if route is None or len(route.endpoints) < 2:
            return []
        found = await asyncio.gather(*(cell.ejected(app) for cell in self._cells.of(route.org)))
        places = {place for places in found for place in places}
        return sorted({one.machine_id for one in route.endpoints if (one.address, one.port) in places})

    def status(self) -> EdgeStatus:
        """Return how the edge is."""
        return status_of(
            self._shared.cloud, list(self._cells.values()), self._front, self._roll_out,
            routes=len(self._routes), leaving=len(self._draining), port_troubles=self._public.troubles,
            postgres=self._public.postgres.detail(),
        )  # fmt: skip

    def _take(self, route: Route) -> Route | None:
        """Take a route into the table; returns the app's older one. Raises BadInput, Conflict."""
        old = self._routes.put(route)
        self._shared.feed.routed(route)
        self._draining.stays(route.app)
        return old

    async def _end_others(self) -> None:
        """End processes of an earlier roostd's that these options have no place for."""
        there = (("front", self._front), (POSTGRES, self._shared.options.postgres_port))
        cells = {cell.files.pid for cell in self._cells.values()}
        await end_others(self._shared.cloud, cells, fronts={name for name, used in there if used})


def _front_of(cells: Cells, shared: Shared) -> Front | None:
    """Return what joins the cells; one alone needs nothing."""
    if all(cell.plan.alone for cell in cells.values()):
        return None
    sockets = {name: cell.place.incoming for name, cell in cells.items() if cell.place.incoming}
    design = front_of_cells(shared.cloud, sockets, cells.shards(), shared.options.balancers)
    return Front(shared.cloud, design, shared.spawn, shared.limit)
