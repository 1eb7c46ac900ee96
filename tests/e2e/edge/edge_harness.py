"""What the edge's tests share: a cloud of their own, a real Envoy, apps to talk to, a waker to program."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path

from tests.e2e.tls.made import self_made
from tests.ports import free_port as free_port

from roost.edge.cell import Cell
from roost.edge.contract import CertificateSource, Endpoint, Material, Refusal, Route, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.host import process
from roost.model.cloud import Cloud
from roost.model.rate_limit import RateLimit
from roost.model.request import Request
from roost.model.steering import Wish

NO_SUCH_APP = Refusal(404, "none", "no_such_app", "There is no <app> here.", "Check the name.")


def make_cloud(home: Path) -> Cloud:
    return Cloud(secrets.token_hex(4), home, free_port(), free_port(), "localhost", IPv4Network("10.77.0.0/16"))


def spawn(argv: Sequence[str], log: Path) -> int:
    return process.spawn(argv, log=log).pid


def envoys_of(cloud: Cloud) -> list[int]:
    """Return the pids of all the Envoys that run for this cloud."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"/{cloud.id}/edge/".encode() in line and b"envoy.json" in line:
                found.append(int(entry.name))
    return found


def clean(cloud: Cloud) -> None:
    for pid in envoys_of(cloud):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(cloud.run, ignore_errors=True)


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 5.0, what: str = "") -> None:
    """Wait for a condition; fails at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value if isinstance(value, bool) else await value:
            return
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        await asyncio.sleep(0.01)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, str]:
        return dict(json.loads(self.body))


async def fetch(
    port: int, host: str, path: str = "/", *, method: str = "GET", headers: str = "", body: bytes = b""
) -> Answer:
    """Make one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{length}{headers}\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            top = await reader.readuntil(b"\r\n\r\n")
            while top.startswith(b"HTTP/1.1 1"):  # 100, 103: the answer is still to come
                top = await reader.readuntil(b"\r\n\r\n")
            lines = top.decode().strip().split("\r\n")
            assert lines[0].startswith("HTTP/1.1 "), f"no answer: {top[:200]!r}"
            told = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
            rest = b"" if method == "HEAD" else await reader.readexactly(int(told.get("content-length", "0")))
            return Answer(int(lines[0].split(" ")[1]), told, rest)
    finally:
        writer.close()


@dataclass
class App:
    """An HTTP/1.1 server: answers with the request's head as JSON; some paths do something else.

    `/fail` has status 500; `/hold` answers when `release` is set; `/upload` counts the body's bytes; `/die` closes at
    once; `/drip` streams until the client leaves.
    """

    port: int = 0
    requests: int = 0
    active: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "app"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests += 1
                self.active += 1
                try:
                    if not await self.answer(head, reader, writer):
                        return
                finally:
                    self.active -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = head.strip().split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        size = 0
        if path == "/die":
            return False
        if path == "/hold":
            await self.release.wait()
        if path == "/drip":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"2\r\n.\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        if path == "/upload":
            for _ in iter(int, 1):
                if size >= int(headers["content-length"]):
                    break
                data = await reader.read(1 << 18)
                if not data:
                    return False
                size += len(data)
        body = json.dumps({"request": lines[0], "app": self.name, "size": str(size), **headers}).encode()
        status = b"500 Oops" if path == "/fail" else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\nRoost-Fault: app\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        return True


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[App]:
    server = await asyncio.start_server(app.handle, "127.0.0.1", 0, backlog=1024)
    app.port = server.sockets[0].getsockname()[1]
    try:
        yield app
    finally:
        server.close()


async def _nobody(app: str) -> WakeResult:
    return WakeResult(refusal=Refusal(503, "app", "stopped", f"{app} is stopped."))


@dataclass
class TestWaker:
    """Wakes the hosts it knows after `delay` seconds, joining calls for one host, as control does."""

    __test__ = False
    apps: dict[str, tuple[str, Endpoint]] = field(default_factory=dict)
    delay: float = 0.0
    hard_limit: int = 0
    calls: int = 0
    starts: int = 0
    cancelled: int = 0
    gate: asyncio.Event | None = None
    private: dict[str, str] = field(default_factory=dict)
    wishes: list[tuple[str, str, Wish]] = field(default_factory=list)
    port_wakes: list[tuple[str, str, int]] = field(default_factory=list)
    on_port: Callable[[str], Awaitable[WakeResult]] = field(default=_nobody)
    _under_way: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def wake(self, host: str) -> WakeResult:
        self.calls += 1
        if host not in self.apps:
            return WakeResult(refusal=NO_SUCH_APP)
        app, endpoint = self.apps[host]
        if app not in self._under_way:
            self.starts += 1
            self._under_way[app] = asyncio.ensure_future(self._start(app))
        try:
            await asyncio.shield(self._under_way[app])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return WakeResult(endpoint=endpoint, app=app, hard_limit=self.hard_limit)

    async def wake_port(self, app: str, protocol: str, port: int) -> WakeResult:
        self.port_wakes.append((app, protocol, port))
        return await self.on_port(app)

    def host_at(self, address: str) -> str:
        return self.private.get(address, "")

    def app_of(self, host: str) -> str:
        return self.apps[host][0] if host in self.apps else ""

    def machine_at(self, app: str, address: str) -> tuple[str, str]:
        known = [endpoint for name, endpoint in self.apps.values() if name == app and address == endpoint.address]
        return (known[0].machine_id, "local") if known else ("", "local")

    async def reach(self, source: str, app: str, wish: Wish) -> WakeResult:
        """Apps whose names begin alike are of one org."""
        self.wishes.append((source, app, wish))
        if not any(name == app for name, _ in self.apps.values()):
            return WakeResult(refusal=Refusal(404, "app", "replay_app_not_found", "There is none.", ""))
        if app[:1] != source[:1]:
            return WakeResult(refusal=Refusal(403, "app", "replay_unauthorized", "Another org's.", ""))
        for name, endpoint in self.apps.values():
            fits = wish.instance in ("", endpoint.machine_id) and endpoint.machine_id != wish.not_on
            if name == app and fits and wish.regions in ((), ("local",)):
                return WakeResult(endpoint=endpoint, app=app)
        return WakeResult(refusal=Refusal(503, "app", "no_candidate", "None fits.", ""))

    async def _start(self, app: str) -> None:
        await asyncio.sleep(self.delay)
        if self.gate is not None:
            await self.gate.wait()
        del self._under_way[app]


class AnyName:
    """Certificates that their owner made, for whatever name is asked for."""

    async def certificate(self, host: str) -> Material:
        chain, key = self_made(host)
        return Material(chain.encode(), key.encode())


@dataclass
class Bench:
    """One cloud with its edge and one app called `hello`, listening and known to the waker."""

    cloud: Cloud
    waker: TestWaker
    edge: EnvoyEdge
    app: App
    ended: list[tuple[str, Request]] = field(default_factory=list)  # what the feed handed on

    @property
    def cell(self) -> Cell:
        """Return the first cell, or the only one."""
        return self.edge._cells["0"]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("00000000000001", "127.0.0.1", self.app.port)

    def route(self, **more: object) -> Route:
        return Route("hello", ("hello.localhost",), (self.endpoint,), **more)  # type: ignore[arg-type]

    async def logged(self, path: str, app: str = "hello") -> Request:
        """Wait for the request of this path in the log."""
        await until(lambda: any(r.path == path for _, r in self.ended), what=f"{path} is logged")
        found, request = next((a, r) for a, r in self.ended if r.path == path)
        assert found == app
        return request

    async def get(self, path: str = "/", host: str = "hello.localhost", **more: str) -> Answer:
        return await fetch(self.cloud.http_port, host, path, **more)  # type: ignore[arg-type]


def resident(at: Bench) -> int:
    """Return how many bytes of memory the Envoys of a bench take."""
    found = [Path(f"/proc/{pid}/status").read_text() for pid in envoys_of(at.cloud)]
    return sum(int(status.split("VmRSS:")[1].split()[0]) * 1024 for status in found)


@asynccontextmanager
async def bench(
    home: Path,
    *,
    cells: int = 1,
    by_address: RateLimit | None = None,
    certificates: CertificateSource | None = None,
    http3: bool = False,
    domain: str = "localhost",
    prepare: Callable[[Cloud], None] = lambda _cloud: None,
    postgres_port: int = 0,
    udp_as_client: bool = False,
    proxies: tuple[str, ...] = (),
    balancers: tuple[str, ...] = (),
) -> AsyncIterator[Bench]:
    cloud = make_cloud(home)
    if certificates is not None:
        cloud = replace(cloud, https_port=free_port(), domain=domain)
    waker = TestWaker()
    try:
        prepare(cloud)
        async with serving(App()) as app:
            options = EdgeOptions(
                cells=cells, by_address=by_address, http3=http3, udp_as_client=udp_as_client,
                postgres_port=postgres_port, proxies=proxies, balancers=balancers,
            )  # fmt: skip
            edge = EnvoyEdge(cloud, waker, spawn, options, certificates=certificates)
            waker.apps["hello.localhost"] = ("hello", Endpoint("00000000000001", "127.0.0.1", app.port))
            it = Bench(cloud, waker, edge, app)
            edge.keep_requests(it.ended.extend)
            await edge.start()
            try:
                yield it
            finally:
                await it.edge.stop(envoy_too=True)
        assert envoys_of(cloud) == [], "an Envoy was left behind"
    finally:
        clean(cloud)
