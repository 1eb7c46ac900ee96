"""What the edge does, through several cells: TLS by SNI, private addresses, replays, statics, the log, error pages."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest_asyncio
import uvicorn
from tests.e2e.edge.cells_harness import CELLS, cell_status, org_in
from tests.e2e.edge.edge_harness import (
    Answer,
    Bench,
    TestWaker,
    clean,
    envoys_of,
    free_port,
    make_cloud,
    serving,
    spawn,
    until,
)
from tests.e2e.edge.test_replays import Replaying, does
from tests.e2e.tls.made import self_made

from roost.daemon.static_files import StaticFiles
from roost.edge.challenges import PROTOCOL
from roost.edge.contract import Endpoint, Material, Refusal, Route, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.edge.static_paths import AppStatics, statics_socket
from roost.model.cloud import FLYCAST_PORT
from roost.model.serving_config import Static

APPS = {"ape": ("0", "1"), "ant": ("1", "2"), "asp": ("2", "0")}  # app -> its org's cells
DIGEST = f"sha256:{'5' * 64}"


@dataclass
class Certificates:
    """The certificates that there are; counts who was asked for."""

    known: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def certificate(self, host: str) -> Material | None:
        self.asked.append(host)
        return Material(*(part.encode() for part in self.known[host])) if host in self.known else None


@dataclass
class Roots:
    """One image, a directory."""

    path: Path

    def get(self, digest: str) -> int | None:
        assert digest == DIGEST
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def forget(self, digest: str) -> None:
        del digest


@dataclass
class Whole(Bench):
    certificates: Certificates = field(default_factory=Certificates)
    apps: dict[str, Replaying] = field(default_factory=dict)
    address: str = ""
    statics: list[AppStatics] = field(default_factory=list)  # the last one counts

    def routed(self, name: str, **more: object) -> Route:
        end = Endpoint(f"0000000000{name}", "127.0.0.1", self.apps[name].port)
        self.waker.apps[f"{name}.localhost"] = (name, end)
        return Route(name, (f"{name}.localhost",), (end,), org=org_in(*APPS[name]), **more)  # type: ignore[arg-type]

    async def https(self, name: str, path: str = "/", sni: str = "") -> Answer:
        """Make a request by TLS; trusts the certificate that there is for the name, and no other."""
        context = ssl.create_default_context(cadata=self.certificates.known[f"{sni or name}.localhost"][0])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.cloud.https_port, ssl=context, server_hostname=f"{sni or name}.localhost"
        )
        try:
            return await ask(reader, writer, f"{name}.localhost", path)
        finally:
            writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str = "/") -> Answer:
    """Make a request on a connection that stays open."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        told = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        return Answer(int(lines[0].split(" ")[1]), told, await reader.readexactly(int(told.get("content-length", "0"))))


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Whole]:
    cloud = replace(make_cloud(tmp_path), https_port=free_port())
    address = f"127.{int(cloud.id[:2], 16) or 1}.{int(cloud.id[2:4], 16)}.{int(cloud.id[4:6], 16) or 1}"
    waker, certificates = TestWaker(), Certificates()
    statics = [AppStatics("asp", DIGEST, (Static("/public", "/s"),))]

    async def find(host: str) -> AppStatics | None:
        return statics[-1] if host == "asp.localhost" else None

    (tmp_path / "image" / "public").mkdir(parents=True)
    (tmp_path / "image" / "public" / "a.txt").write_text("a file")
    apps = {name: Replaying(name=name) for name in APPS}
    edge = EnvoyEdge(
        cloud, waker, spawn, EdgeOptions(cells=CELLS, private=(address,)), certificates=certificates, statics=find
    )
    try:
        async with serving(apps["ape"]), serving(apps["ant"]), serving(apps["asp"]):
            it = Whole(cloud, waker, edge, apps["ape"], [], certificates, apps, address, statics)
            edge.keep_requests(it.ended.extend)
            for name in APPS:
                certificates.known[f"{name}.localhost"] = self_made(f"{name}.localhost")
            await edge.start()
            serving_files: list[asyncio.Task[None]] = []
            files = await _serve_files(cloud.run, tmp_path / "image", serving_files)
            try:
                for name in APPS:
                    await edge.put(
                        it.routed(name, statics=statics[0]) if name == "asp" else it.routed(name, force_https=False)
                    )
                yield it
            finally:
                files.should_exit = True
                await asyncio.gather(*serving_files)
                await edge.stop(envoy_too=True)
        assert envoys_of(cloud) == [], "an Envoy was left behind"
    finally:
        clean(cloud)


async def _serve_files(run: Path, image: Path, tasks: list[asyncio.Task[None]]) -> uvicorn.Server:
    config = uvicorn.Config(
        StaticFiles(Roots(image)),  # type: ignore[arg-type]
        uds=str(statics_socket(run)), lifespan="off", log_config=None, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    tasks.append(asyncio.create_task(server.serve()))
    await until(lambda: server.started, what="files are served")
    return server


async def test_https_by_name(at: Whole) -> None:
    """Each org's cell has the certificates of its own names; a new one is shown at once, and nobody is cut off."""
    for name in APPS:
        answer = await at.https(name)
        assert (answer.status, answer.json()["app"]) == (200, name)
        assert answer.json()["fly-client-ip"] == "127.0.0.1"
        assert answer.json()["x-forwarded-proto"] == "https"
        assert answer.json()["fly-forwarded-port"] == str(at.cloud.https_port)
    assert sorted(at.certificates.asked) == sorted(f"{name}.localhost" for name in APPS), "each in one cell"
    # A request for another org's host on this connection is answered too, if slower.
    calls = at.waker.calls
    assert (await at.https("ant", sni="ape")).json()["app"] == "ant"
    assert at.waker.calls == calls + 1
    try:
        await at.https("ape", sni="ape")
        at.certificates.known["nobody.localhost"] = at.certificates.known.pop("ape.localhost")
        at.certificates.known["ape.localhost"] = self_made("ape.localhost")
        await at.https("ant", sni="nobody")
        raise AssertionError("a name without a certificate was shaken hands with")
    except (ssl.SSLError, OSError):
        pass
    old = ssl.create_default_context(cadata=at.certificates.known["nobody.localhost"][0])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", at.cloud.https_port, ssl=old, server_hostname="ape.localhost"
    )
    at.edge.certificates_changed(["ape.localhost"])

    async def shows_the_new_one() -> bool:
        try:
            return (await at.https("ape")).status == 200
        except ssl.SSLError:
            return False

    await until(shows_the_new_one, what="the new certificate is shown")
    assert (await ask(reader, writer, "ape.localhost")).json()["app"] == "ape", "an open connection goes on"
    writer.close()
    # Asleep: any cell, which asks for the certificate then.
    await at.edge.remove("ant")
    assert (await at.https("ant")).json()["app"] == "ant"
    # A certificate authority that checks a name by TLS meets any cell.
    chain, key = self_made("ant.localhost")
    at.edge.challenges.set_tls("ant.localhost", Material(chain.encode(), key.encode()))
    context = ssl.create_default_context(cadata=chain)
    context.set_alpn_protocols([PROTOCOL])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", at.cloud.https_port, ssl=context, server_hostname="ant.localhost"
    )
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == PROTOCOL
    writer.close()


async def test_replays_statics_the_log_and_error_pages(at: Whole) -> None:
    for source in APPS:
        for target in APPS:
            if source != target:
                answer = await at.get("/r", host=f"{source}.localhost", headers=does(f"fly-replay: app={target}"))
                assert (answer.status, answer.json()["app"]) == (200, target)
                assert answer.json()["fly-replay-src"].startswith(f"instance=0000000000{source};")
    answer = await at.get("/s/a.txt", host="asp.localhost")
    assert (answer.status, answer.body) == (200, b"a file")
    await shown_alike(at, "/s/none.txt", 404, "statics_not_found")
    await shown_alike(at, "/s/a%2Fb", 400, "statics_bad_path")
    for name in APPS:
        answer = await at.get(f"/log-{name}", host=f"{name}.localhost")
        logged = await at.logged(f"/log-{name}", app=name)
        assert (logged.client, logged.status, logged.machine) == ("127.0.0.1", 200, f"0000000000{name}")
        assert logged.id == answer.headers["fly-request-id"]
        assert (await at.get("/die", host=f"{name}.localhost")).headers["roost-error"] == "app_closed_connection"
    answer = await at.get("/", host="nobody.localhost", headers="Accept: text/html\r\n")
    assert (answer.status, answer.headers["roost-error"]) == (404, "no_such_app")
    refusal = Refusal(502, "app", "app_exited", "It exited.", "")
    wake, at.waker.wake = at.waker.wake, _refusing(refusal)  # type: ignore[method-assign]
    await at.edge.remove("ape")
    answer = await at.get("/asleep", host="ape.localhost")
    assert (answer.status, answer.headers["roost-error"], answer.headers["roost-fault"]) == (502, "app_exited", "app")
    assert (await at.get("/s/a.txt", host="asp.localhost")).body == b"a file"
    await at.edge.remove("asp")
    assert (await at.get("/s/a.txt", host="asp.localhost")).body == b"a file", "asleep"
    await shown_alike(at, "/s/none-asleep.txt", 404, "statics_not_found")
    for asleep in (True, False):
        at.statics.append(replace(at.statics[-1], force_https=True))
        if not asleep:
            await at.edge.put(at.routed("asp", statics=at.statics[-1], force_https=True))
        moved = await at.get("/s/a.txt", host="asp.localhost")
        assert moved.status == 301
        assert moved.headers["location"] == f"https://asp.localhost:{at.cloud.https_port}/s/a.txt"
        assert (await at.https("asp", "/s/a.txt")).body == b"a file"
    at.waker.wake = wake  # type: ignore[method-assign]


async def shown_alike(at: Whole, path: str, status: int, code: str) -> None:
    """Ask for one of asp's files; who asks and who reads asp's log learn the same."""
    answer = await at.get(path, host="asp.localhost")
    assert (answer.status, answer.headers["roost-error"]) == (status, code)
    logged = await at.logged(path, app="asp")
    assert (logged.status, logged.error) == (status, code)


def _refusing(refusal: Refusal):  # type: ignore[no-untyped-def]
    async def wake(_host: str) -> WakeResult:
        return WakeResult(refusal=refusal, app="ape")

    return wake


async def _privately(at: Whole, host: str = "x.flycast") -> dict[str, str]:
    reader, writer = await asyncio.open_connection(at.address, FLYCAST_PORT)
    try:
        answer = await ask(reader, writer, host)
        assert answer.status == 200
        return answer.json()
    finally:
        writer.close()


async def test_private_addresses(at: Whole) -> None:
    """An app that is awake in other cells than the one that listens privately is reached straight too."""
    for name in APPS:
        at.waker.private = {at.address: f"{name}.localhost"}
        await at.edge.put(at.routed(name, private=(at.address,)))
        calls = at.waker.calls
        told = await _privately(at)
        assert (told["app"], told["host"]) == (name, "x.flycast")
        assert at.waker.calls == calls, f"{name} is awake"
        await at.edge.remove(name)
        assert (await _privately(at))["app"] == name, "asleep"
        assert await at.edge.drained(name, timeout=2.0)
    assert ip_address(at.address).is_loopback


async def test_an_app_is_quiet_when_no_cell_serves_it(at: Whole) -> None:
    """Its requests may be in its own cells, in one that does not know it, and in the one for private addresses."""
    for through in ("its own", "another", "the private one"):
        await at.edge.put(at.routed("ant", private=(at.address,)))
        at.apps["ant"].release.clear()
        if through == "the private one":
            reader, writer = await asyncio.open_connection(at.address, FLYCAST_PORT)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
        try:
            if through == "another":
                assert (await ask(reader, writer, "asp.localhost")).status == 200
            held = asyncio.create_task(ask(reader, writer, "ant.localhost", "/hold"))
            await until(lambda: at.apps["ant"].active == 1)
            await at.edge.remove("ant")
            assert not await at.edge.drained("ant", timeout=0.3), through
            at.apps["ant"].release.set()
            assert (await held).status == 200
            assert await at.edge.drained("ant", timeout=2.0), through
        finally:
            writer.close()
    assert sum(int(str(cell_status(at, name)["routes"])) for name in "012") == 4, "two apps, in two cells each"
    assert json.dumps(at.edge.status().detail)
