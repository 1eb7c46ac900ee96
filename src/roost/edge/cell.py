"""One cell of the edge: an Envoy with all that is its own, so that nothing of it can hurt another cell.

State: its xDS table (what is in it besides the apps: `cell_base`), its traffic book, its activator with the requests
that wait, its files. A cell that dies or stands still is started again by its keeper, and asks for its table; others do
not notice. Alone, it has the public port; with others it takes connections from the front only, on a socket, with the
client's address in front of them (PROXY protocol).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from roost.edge.activator import Activator
from roost.edge.admin import Admin
from roost.edge.bootstrap import bootstrap
from roost.edge.cell_base import CellBase
from roost.edge.cell_plan import CellPlan
from roost.edge.cell_unit import argv_of, files_of, node_of, unit_of
from roost.edge.confinement import FRONT_USER, USER, hand_over, is_raw, share_directory
from roost.edge.gauges import OF_APPS, PATTERN, Gauges, parse_gauges
from roost.edge.last_good import LastGood, certificates_file, read_last_good
from roost.edge.listener import HTTP, EdgePlace, incoming_socket
from roost.edge.native_build import build_module, looks_there
from roost.edge.postgres_front import USER as POSTGRES_USER
from roost.edge.process import Keeper, alive, peer_pid, user_of
from roost.edge.protos import CLUSTER, VIRTUAL_HOST, add_AggregatedDiscoveryServiceServicer_to_server, grpc
from roost.edge.replay_server import ReplayServer
from roost.edge.secrets import SecretKeeper
from roost.edge.shared import Shared
from roost.edge.static_paths import statics_socket
from roost.edge.tail import LogTail
from roost.edge.tally import Tally
from roost.edge.traffic import TrafficBook
from roost.edge.written import write
from roost.edge.xds import XdsServer
from roost.model.errors import HostFailure
from roost.plan.cells import http3_port

DRAIN_TIMEOUT = 5.0
BASE_TIMEOUT = 30.0
# Envoy pings each 30 s, whether there is anything to tell or not: gRPC's own limit would end the stream for that.
_PINGS = (("grpc.http2.min_ping_interval_without_data_ms", 5000), ("grpc.http2.max_ping_strikes", 0))
LOOK = 0.1  # seconds between looks whether a cell that does not acknowledge still runs
_log = logging.getLogger("roost.edge")


class Cell:
    """A cell. All calls are on one event loop."""

    def __init__(self, plan: CellPlan, shared: Shared) -> None:
        cloud, options, self._shared = shared.cloud, shared.options, shared
        self.plan, self.name = plan, plan.name
        self.user = USER + plan.index
        self._modules = cloud.run / "edge" / "modules"
        self.files = files_of(plan, cloud)
        self.gauges: Gauges | None = None  # the latest reading; None: there is none
        self._said_nothing = False  # by the latest reading Envoy counts nothing of apps, and had none
        self.book, self.xds, self.tally = TrafficBook(), XdsServer(), Tally()
        self.admin = Admin(self.files.admin)
        place = EdgePlace(
            cloud.http_port, options.region, self.files.activator, https_port=cloud.https_port, domain=cloud.domain,
            incoming=None if plan.alone else self.files.incoming, private=options.private if plan.is_first else (),
            by_address=options.by_address, shared=options.shared,
            http3_port=http3_port(cloud.https_port, plan.place) if options.http3 else 0,
            udp_as_client=options.udp_as_client, proxies=options.proxies, bodies_room=self.plan.caps.heap_bytes // 2,
        )  # fmt: skip
        self.base = CellBase(place, self.xds, self.files.challenges, statics_socket(cloud.run))
        self.secrets = SecretKeeper(self.xds, shared.certificates, cloud.domain)
        self._certificates = certificates_file(cloud, plan.name)
        self._answerer: asyncio.Task[None] | None = None
        self.replays = ReplayServer(
            self.place.replay, shared.waker, self._spliced, _report, shared.remembered, shared.feed.steered,
            shared.feed.woken,
        )  # fmt: skip
        self.activator = Activator(
            self.files.activator, shared.waker, self._spliced, _report, shared.statics, shared.challenges,
            cloud.https_port, shared.feed.note, shared.slots,
        )  # fmt: skip
        self._challenged: asyncio.Server | None = None
        tail = LogTail(self.files.requests, self.files.requests_read)
        shared.feed.follow(tail, self.book.ended, self.tally)
        self._server: grpc.aio.Server | None = None
        self.keeper = Keeper(unit_of(plan, cloud), shared.spawn, self.book.reset, shared.limit)

    @property
    def place(self) -> EdgePlace:
        """Where it is, as requests and this Envoy see it now."""
        return self.base.place

    @property
    def pid(self) -> int:
        """Envoy's pid, 0 when it does not run."""
        pid = self.keeper.pid
        return pid if pid and alive(pid) else 0

    async def start(self) -> None:
        """Serve what Envoy asks for; start Envoy or adopt the one that runs. Raises Conflict, HostFailure."""
        await self._prepare()
        self.xds.journal = LastGood(self.files.last_good, self._certificates)
        last_good = self.xds.journal.begin()
        pid = await self.keeper.find()
        if pid and not looks_there(pid, self._modules):
            _log.warning("the edge's Envoy is of a Roost that loaded no filters: it is started anew")
            await self.keeper.end()
            pid = 0
        elif pid and user_of(pid) == self.user and is_raw(pid) != self.place.udp_as_client:
            _log.warning("the edge's Envoy has other capabilities than it shall have: it is started anew")
            await self.keeper.end()
            pid = 0
        self.base.begin(last_good, adopted=bool(pid))
        self._answerer = asyncio.create_task(self.secrets.run())
        await self._serve()
        await self.activator.start()
        hand_over(self.files.activator, self.user)
        self._challenged = await self._shared.challenges.serve(self.files.challenges)
        hand_over(self.files.challenges, self.user)
        await self.replays.start()
        hand_over(self.place.replay, self.user)
        await self.keeper.ensure()
        if self.keeper.adopted:
            await self.measure() or await self.measure()
        else:
            self.xds.mark_complete()

    async def show_names_apart(self) -> None:
        """Show each name of the cloud's domain a certificate of its own from now on. Raises HostFailure."""
        self.base.place = replace(self.place, shared=False)
        if refusal := await self.change_base():
            raise HostFailure(f"Envoy refused a certificate for each name: {refusal}", hint="roost status")

    async def stand_in(self) -> None:
        """Without roostd: keep Envoy running, and give a new one the last good configuration."""
        await self._prepare()
        self.xds.passive = True
        self.base.begin({}, adopted=False)
        for kind, resources in read_last_good(self.files.last_good, self._certificates).items():
            for resource in resources.values():
                self.xds.set(kind, resource)
        await self._serve()
        await self.keeper.ensure()

    async def _prepare(self) -> None:
        cloud = self._shared.cloud
        self.files.directory.mkdir(parents=True, exist_ok=True)
        self.files.directory.chmod(0o711)  # Envoy passes through, to sockets that are its own
        self.files.private.mkdir(exist_ok=True)
        hand_over(self.files.private, self.user)
        if not self.plan.alone:
            share_directory(self.files.incoming, self.user, FRONT_USER)
        share_directory(self.files.postgres, self.user, POSTGRES_USER)
        described = bootstrap(node_of(self.plan, cloud), self.files, self.plan.caps)
        write(self.files.bootstrap, json.dumps(described, indent=1))
        await build_module(self._modules, self._shared.spawn, self.keeper.unit.log)
        argv = argv_of(self.plan, cloud, self._modules, raw=self.place.udp_as_client)
        self.keeper.unit = replace(self.keeper.unit, argv=argv)

    async def change_base(self) -> str:
        """Give Envoy the base configuration of this Roost; returns its words when it refuses a part, else ""."""
        self.base.renew()
        deadline = time.monotonic() + BASE_TIMEOUT
        for kind, new in self.base.resources():
            if refusal := await self.settle(kind, [new.name], max(0.0, deadline - time.monotonic()), needed=False):
                return refusal
        return ""

    async def stop(self, *, envoy_too: bool) -> None:
        """Stop serving; end Envoy only when asked, after some seconds for the requests under way."""
        await self.keeper.release()
        if self._answerer is not None:
            self._answerer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._answerer
            self._answerer = None
        if envoy_too:
            if await self.keeper.find():
                await self._drain()
            await self.keeper.end()
        await self.activator.stop()
        if self._challenged is not None:
            self._challenged.close()
            self._challenged = None
        await self.replays.stop()
        if self.xds.journal is not None:
            self.xds.journal.close()
        if self._server is not None:
            await self._server.stop(grace=0.1)
            self._server = None

    async def settle(self, kind: str, names: list[str], timeout: float, *, needed: bool) -> str | None:
        """Wait as `XdsServer.settle` does. A cell that is not `needed` and does not run is not waited for."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            answer = await self.xds.settle(kind, names, left if needed else min(left, LOOK))
            if answer is not None or left == 0.0:
                return answer
            if not needed and not self.pid:
                return ""

    async def opened(self, listener: str, timeout: float) -> bool:
        """Wait until an acknowledged listener takes connections: when it has its routes and certificates."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(HostFailure):
                if listener in await self.admin.listeners():
                    return True
            await asyncio.sleep(0.01)
        return False

    async def listens(self, timeout: float) -> bool:
        """Wait until the front can connect: Envoy listens when it has its base configuration."""
        deadline = time.monotonic() + timeout
        socket = incoming_socket(self.files.incoming, HTTP)
        while time.monotonic() < deadline:
            if peer_pid(socket):
                return True
            await asyncio.sleep(0.01)
        return False

    async def active(self, app: str) -> dict[str, int] | None:
        """Return what an app has under way, under its name; None when Envoy runs and does not tell. Raises nothing."""
        if not self.keeper.pid:
            return {}
        try:
            return await self.admin.active_requests(app)
        except HostFailure as error:
            return self._untold(error)

    def _untold(self, error: HostFailure) -> dict[str, int] | None:
        if not self.pid:
            return {}
        _log.warning("can't read the gauges of the edge's cell %s: %s", self.name, error)
        return None

    async def ejected(self, app: str) -> list[tuple[str, int]]:
        """Return where the machines are that Envoy leaves out; none when it does not tell."""
        with contextlib.suppress(HostFailure):
            return await self.admin.ejected(app) if self.keeper.pid else []
        return []

    async def measure(self) -> Mapping[str, int] | None:
        """Read Envoy's gauges and put the book right; None when they can't be read.

        One that said nothing, and has no app since, is not asked: it has nothing to say.
        """
        found = None
        told: Mapping[str, int] | None = {}
        without_apps = self.xds.connected and not self.xds.has_any(CLUSTER, OF_APPS)
        if self.keeper.pid and self._said_nothing and without_apps:
            found = Gauges()
        elif self.keeper.pid:
            try:
                text = await self.admin.gauges(PATTERN)
                found = parse_gauges(text)
                told = found.active
                self._said_nothing = without_apps and not text
            except HostFailure as error:
                told = self._untold(error)
        self.gauges = found
        if told is not None:
            self.book.measured(told, self._shared.clock())
        return told

    def detail(self) -> dict[str, object]:
        """Return how the cell is, for the status."""
        pid = self.pid
        found: dict[str, object] = {
            "name": self.name,
            "pid": pid,
            "connected": self.xds.connected,
            "routes": max(0, len(self.xds.table[VIRTUAL_HOST]) - 1),
            "restarts": self.keeper.restarts,
            "adopted": self.keeper.adopted,
            "user": user_of(pid) if pid else -1,
            "waiting": self.activator.waiting,
        }
        if self.plan.org:
            found["org"] = self.plan.org
        if self.xds.latest_refusal:
            found["rejected"] = self.xds.latest_refusal
        if self.keeper.ended:
            found["ended"] = self.keeper.ended
        if self.keeper.trouble:
            found["trouble"] = self.keeper.trouble
        return found

    async def _serve(self) -> None:
        server = grpc.aio.server(options=_PINGS)
        add_AggregatedDiscoveryServiceServicer_to_server(self.xds, server)
        self.files.xds.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self.files.xds}")
        await server.start()
        hand_over(self.files.xds, self.user)
        self._server = server

    async def _drain(self) -> None:
        with contextlib.suppress(HostFailure):
            await self.admin.drain()
            deadline = time.monotonic() + DRAIN_TIMEOUT
            while time.monotonic() < deadline and await self.admin.downstream_active() > 0:
                await asyncio.sleep(0.05)

    def _spliced(self, app: str, change: int) -> None:
        if app:
            self.book.splicing(app, change, self._shared.clock())


def _report(error: BaseException) -> None:
    _log.error("a request through the activator failed", exc_info=error)
