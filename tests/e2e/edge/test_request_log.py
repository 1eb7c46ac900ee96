"""What the edge tells of each request: who, what, how long each part took, and what went wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import App, Bench, bench, envoys_of, serving, spawn, until
from tests.e2e.edge.test_error_classes import answering, raw, told

from roost.edge import accesslog, cell_unit, process, sampling, tail
from roost.edge.contract import Endpoint, Refusal, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.model.request import Request


async def test_a_request_that_goes_straight(at: Bench) -> None:
    await at.edge.put(at.route())
    before = time.time()
    answer = await at.get("/one?token=secret", headers="Cookie: a=b\r\nAuthorization: Bearer x\r\n")
    one = await at.logged("/one?token=*")
    assert before <= one.at <= time.time()
    assert (one.method, one.host, one.status, one.protocol) == ("GET", "hello.localhost", 200, "HTTP/1.1")
    assert (one.client, one.machine, one.tries, one.error) == ("127.0.0.1", at.endpoint.machine_id, 1, "")
    assert one.bytes_out == len(answer.body)
    assert one.id == answer.headers["fly-request-id"]
    assert one.wake == 0
    assert 0 < one.connect < one.total
    assert 0 < one.app < one.total
    await at.get("/dav", method="PROPFIND")
    assert (await at.logged("/dav")).method == "PROPFIND"
    for number in range(12):  # each of Envoy's threads has connections of its own
        await at.get(f"/again-{number}")
    again = [await at.logged(f"/again-{number}") for number in range(12)]
    assert any(request.connect == 0 for request in again), "a connection that was there is not counted as made"
    assert "secret" not in one.to_line()
    assert "Bearer" not in one.to_line()


async def test_a_slow_app_is_not_taken_for_a_slow_edge(at: Bench) -> None:
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold", method="POST", body=b"x" * 1000))
    await until(lambda: at.app.active == 1)
    await asyncio.sleep(0.2)
    at.app.release.set()
    await held
    slow = await at.logged("/hold")
    assert slow.app > 190 > 50 > slow.queue + slow.connect
    assert slow.bytes_in == 1000


async def test_a_wake_is_told_from_the_app(at: Bench) -> None:
    at.waker.delay = 0.3
    await at.get("/asleep")
    one = await at.logged("/asleep")
    assert one.wake > 290
    assert one.machine == at.endpoint.machine_id
    assert one.queue + one.connect + one.app < 100
    assert one.error == ""


async def test_what_the_activator_refuses_is_logged_for_the_app(at: Bench) -> None:
    refusal = Refusal(502, "app", "app_exited", "It exited.", "")

    async def wake(_host: str) -> WakeResult:
        return WakeResult(refusal=refusal, app="hello")

    (cell,) = at.edge._cells.values()
    cell.activator._waker.wake = wake  # type: ignore[method-assign]
    answer = await at.get("/exits")
    one = await at.logged("/exits")
    assert (one.error, one.fault, one.status) == ("app_exited", "app", 502)
    assert answer.headers["fly-error"] == "PR01"


async def test_nobodys_requests_are_told_without_an_app(at: Bench) -> None:
    await at.get("/x", host="nobody.localhost")
    assert (await at.logged("/x", app="")).error == "no_such_app"
    await raw(at.cloud.http_port, b"GARBAGE\r\n\r\n")
    await until(lambda: any(r.error == "bad_request" for _, r in at.ended))


async def test_errors_are_logged_as_they_were_told(at: Bench) -> None:
    await at.edge.put(at.route(idle_timeout=0.2))
    assert (await at.get("/hold")).headers["roost-error"] == (await at.logged("/hold")).error == "app_silent"
    assert (await at.get("/die")).headers["roost-error"] == (await at.logged("/die")).error == "app_closed_connection"
    async with serving(App()) as gone:
        pass
    await at.edge.put(at.route().__class__("gone", ("gone.localhost",), (Endpoint("m", "127.0.0.1", gone.port),)))
    answer = await at.get("/gone", host="gone.localhost")
    one = await at.logged("/gone", app="gone")
    assert answer.headers["roost-error"] == one.error == "app_not_listening"
    assert one.tries == 3
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    async with answering(at, cut):
        answered = await raw(at.cloud.http_port, b"GET /cut HTTP/1.1\r\nHost: bad.localhost\r\n\r\n")
        assert told(answered) == (200, "", "")
        assert (await at.logged("/cut", app="bad")).error == "app_broke_off"
    switched = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n\x88\x00"
    async with answering(at, switched):
        ask = b"GET /ws HTTP/1.1\r\nHost: bad.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        await raw(at.cloud.http_port, ask)
        assert (await at.logged("/ws", app="bad")).error == "", "a WebSocket ends when its app closes it"
    async with answering(at, b"HTTP/1.1 503 Mine\r\nContent-Length: 0\r\n\r\n"):
        await raw(at.cloud.http_port, b"GET /own HTTP/1.1\r\nHost: bad.localhost\r\nConnection: close\r\n\r\n")
        assert (await at.logged("/own", app="bad")).error == "app_answered_5xx"


async def test_a_client_that_leaves_is_not_the_apps_fault(at: Bench) -> None:
    await at.edge.put(at.route())
    left = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    left.cancel()
    one = await at.logged("/hold")
    assert (one.status, one.error, one.fault) == (0, "client_gone", "client")


async def test_a_keeper_that_is_stuck_holds_up_no_request_and_gets_all_of_them_later(at: Bench) -> None:
    await at.edge.put(at.route())
    feed, gate = at.edge._shared.feed, threading.Event()
    taken = feed.take

    def stuck(lot: Sequence[tuple[str, Request]]) -> None:
        gate.wait(10)
        assert taken is not None
        taken(lot)

    feed.take = stuck
    try:
        for number in range(120):
            assert (await at.get(f"/{number}")).status == 200
    finally:
        gate.set()
    await at.logged("/119")
    assert sum(r.alike for _, r in at.ended) == 120
    assert len({r.path for _, r in at.ended}) == len(at.ended) >= sampling.KEPT
    assert at.edge.unlogged == 0


async def test_each_line_is_read_once_while_the_file_is_changed_and_roostd_is_away(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "ROTATE_BYTES", 4096)
    await at.edge.put(at.route())
    sent = 0

    async def some(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            assert (await at.get(f"/{sent}")).status == 200
            sent += 1

    for _ in range(4):
        await some(20)
        await at.logged(f"/{sent - 1}")
    await at.edge.stop(envoy_too=False)
    await some(40)
    log = at.cell.files.requests
    await until(
        lambda: log.exists() and f'"/{sent - 1}"'.encode() in log.read_bytes(), what="Envoy wrote the lines out"
    )
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
    at.edge.keep_requests(at.ended.extend)
    await at.edge.start()
    await at.edge.put(at.route())
    await at.logged(f"/{sent - 1}")
    assert sorted(int(r.path[1:]) for _, r in at.ended) == list(range(sent))
    assert {r.machine for _, r in at.ended} == {at.endpoint.machine_id}, "also of those without roostd"
    assert at.edge.unlogged == 0
    await until(lambda: log.exists() and not log.with_suffix(".old").exists(), what="what was read is gone")
    assert log.stat().st_size < 8192


async def test_with_nobody_to_read_the_file_has_a_bound_and_requests_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_unit, "MAX_BYTES", 8192)
    async with bench(tmp_path) as at:
        await at.edge.put(at.route())
        await at.edge.stop(envoy_too=False)
        log = at.cell.files.requests
        pid = envoys_of(at.cloud)
        sent = 0
        while not log.exists() or log.stat().st_size < 8192:
            assert (await at.get("/x" * 400)).status == 200
            sent += 1
        for _ in range(20):
            assert (await at.get("/y" * 400)).status == 200
        assert (log.stat().st_size, envoys_of(at.cloud)) == (8192, pid)
        assert log.stat().st_uid == at.cell.user
        assert log.parent.stat().st_mode & 0o077 == 0
        at.edge = EnvoyEdge(at.cloud, at.waker, spawn)
        at.edge.keep_requests(at.ended.extend)
        monkeypatch.setattr(tail, "ROTATE_BYTES", 8192)
        await at.edge.start()
        await at.edge.put(at.route())
        await until(lambda: bool(at.ended), what="what was written is read")
        await until(lambda: log.exists() and log.stat().st_size < 8192, what="Envoy has a new file")
        await at.get("/again")
        await at.logged("/again")
        served = sent + 20 + 1
        await until(
            lambda: sum(r.alike for _, r in at.ended) + at.edge.unlogged == served, what="each is told or counted"
        )
        assert at.edge.unlogged >= 20


async def test_what_has_ended_is_written_when_envoy_ends(at: Bench) -> None:
    await at.edge.put(at.route())
    await at.edge.stop(envoy_too=False)
    (pid,) = envoys_of(at.cloud)
    for number in range(4):
        await at.get(f"/{number}")
    os.kill(pid, signal.SIGTERM)
    await process.wait_for_end(pid)
    lines = at.cell.files.requests.read_bytes().splitlines()
    assert sorted(entry[accesslog.PATH] for line in lines if (entry := accesslog.entry_of(line))) == [
        "/0",
        "/1",
        "/2",
        "/3",
    ]


async def test_what_a_client_sends_can_neither_break_nor_forge_a_line(at: Bench) -> None:
    await at.edge.put(at.route())
    end = b" HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n"
    for path in (b'/"],1]}', b"/\\", b'/%0a{"r":[]}', b"/" + b"a" * 60_000, b"/?" + b'"&' * 3000, b"/\xff", b"/a\tb"):
        await raw(at.cloud.http_port, b"GET " + path + end)
    await at.get("/last")
    await at.logged("/last")
    paths = [r.path for app, r in at.ended if app == "hello"]
    assert paths[:3] == ["/%22],1]%7D", "//", "/%0a%7B%22r%22:[]%7D"]
    assert len(paths) == 6
    assert len(at.ended) == 8
    assert all(len(r.path) < 1200 for _, r in at.ended)
    assert at.edge.unlogged == 0
