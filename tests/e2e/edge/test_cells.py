"""An edge with several cells and the front before them: who is served where, and what a dead or frozen cell costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge.cells_harness import CELLS, cell_status, org_in, pid_of, route
from tests.e2e.edge.edge_harness import Bench, TestWaker, bench, envoys_of, fetch, free_port, spawn, until
from tests.e2e.edge.wedge import wedged

from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.edge.process import wait_for_end
from roost.edge.threads import threads_of


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, cells=CELLS) as made:
        yield made


async def test_an_app_is_in_the_cells_of_its_org_only_and_the_client_is_known(at: Bench) -> None:
    await at.edge.put(route(at, "a", org_in("0", "2")))
    assert [cell_status(at, name)["routes"] for name in "012"] == [1, 0, 1]
    answer = await at.get(host="A.localhost:80")
    assert answer.status == 200
    assert answer.json()["fly-client-ip"] == answer.json()["x-forwarded-for"] == "127.0.0.1"
    assert answer.json()["fly-forwarded-port"] == str(at.cloud.http_port)
    assert at.waker.calls == 0
    assert await at.edge.remove("a")
    assert await at.edge.drained("a", timeout=2.0)
    assert (await at.get(host="a.localhost")).status == 200, "asleep: the activator knows it"
    assert at.waker.calls == 1
    assert (await at.get(host="unknown.localhost")).status == 404
    assert at.edge.status().detail["front"]["hosts"] == 0  # type: ignore[index]


async def test_a_later_request_on_a_connection_may_be_for_another_orgs_host(at: Bench) -> None:
    await at.edge.put(route(at, "a", org_in("0", "1")))
    await at.edge.put(route(at, "b", org_in("2", "1")))
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
    try:
        for host in ("a.localhost", "b.localhost", "a.localhost"):
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
            assert head.startswith("http/1.1 200")
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            assert f'"host": "{host}"'.encode() in await reader.readexactly(length)
            if "connection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
    finally:
        writer.close()


async def test_a_killed_cell_is_missed_by_no_new_connection_and_comes_back(
    at: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await at.edge.put(route(at, "a", org_in("1", "2")))
    await at.edge.put(route(at, "b", org_in("0", "2")))
    first, others = pid_of(at, "1"), [pid_of(at, "0"), pid_of(at, "2")]
    os.kill(first, signal.SIGKILL)
    await asyncio.wait_for(wait_for_end(first), 5.0)  # until its last thread ended, its socket takes connections
    for _ in range(20):
        assert (await at.get(host="a.localhost")).status == 200
        assert (await at.get(host="b.localhost")).status == 200
    assert at.waker.calls == 0, "the second cell has the route"
    await until(lambda: pid_of(at, "1") not in (0, first), timeout=1.0, what="the cell is back")
    await until(lambda: bool(cell_status(at, "1")["connected"]), what="and configured")
    assert [pid_of(at, "0"), pid_of(at, "2")] == others
    assert (await at.get(host="a.localhost")).status == 200
    assert "ended" in str(cell_status(at, "1")["ended"])
    assert "the edge's cell 1" in caplog.text
    for number in range(5):
        await at.edge.put(route(at, f"a{number}", org_in("1", "2")))
    logs = "".join(path.read_text() for path in at.cloud.logs.glob("envoy*.log"))
    assert "eprecated" not in logs, "a change of routes writes nothing there"


async def test_a_frozen_cell_is_gone_round_and_replaced(at: Bench) -> None:
    await at.edge.put(route(at, "a", org_in("1", "2")))
    await at.edge.put(route(at, "b", org_in("0", "2")))
    first = pid_of(at, "1")
    os.kill(first, signal.SIGSTOP)
    began = time.monotonic()
    assert (await at.get(host="b.localhost")).status == 200
    assert time.monotonic() - began < 0.5, "other orgs do not notice"
    while True:
        try:
            async with asyncio.timeout(0.3):
                assert (await at.get(host="a.localhost")).status == 200
                break
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            assert time.monotonic() - began < 3.0
    await until(lambda: pid_of(at, "1") not in (0, first), timeout=3.0)
    assert "was killed: stopped" in str(cell_status(at, "1")["ended"])
    await until(lambda: len(envoys_of(at.cloud)) == CELLS)
    assert at.waker.calls == 0


async def test_a_cell_with_a_wedged_worker_is_replaced_in_about_a_second(at: Bench) -> None:
    """Its main thread, which answers for it, is well; so are the other cells."""
    await at.edge.put(route(at, "a", org_in("1", "2")))
    await at.edge.put(route(at, "b", org_in("0", "2")))
    first, others = pid_of(at, "1"), [pid_of(at, "0"), pid_of(at, "2")]
    known = at.edge._cells["1"].keeper.still
    await until(lambda: known.knows("wrk:"), what="its worker's habits are known")
    worker = next(one.tid for one in threads_of(first) if one.name.startswith("wrk:"))
    async with wedged(worker):
        began = time.monotonic()
        while pid_of(at, "1") in (0, first):
            assert (await at.get(host="b.localhost")).status == 200
            assert time.monotonic() - began < 2.0, "the cell is not replaced"
        await until(lambda: bool(cell_status(at, "1")["connected"]), what="and configured")
        assert (await at.get(host="a.localhost")).status == 200
        assert [pid_of(at, "0"), pid_of(at, "2")] == others
        assert at.waker.calls == 0


async def test_thenext_roostd_adopts_all_and_a_dead_front_comes_back_with_its_map(at: Bench) -> None:
    await at.edge.put(route(at, "a", org_in("0", "1")))
    pids = [pid_of(at, name) for name in "012"]
    front = at.edge.status().detail["front"]["pid"]  # type: ignore[index]
    await at.edge.stop(envoy_too=False)
    assert (await at.get(host="a.localhost")).status == 200
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=CELLS))
    await at.edge.start()
    assert [pid_of(at, name) for name in "012"] == pids
    assert at.edge.status().detail["front"]["pid"] == front  # type: ignore[index]
    await at.edge.replace_all([route(at, "a", org_in("0", "1"))])
    os.kill(front, signal.SIGKILL)

    def is_back() -> bool:
        return at.edge.status().detail["front"]["pid"] not in (0, front)  # type: ignore[index]

    await until(is_back, what="the front is back")

    async def serves() -> bool:
        with contextlib.suppress(OSError):
            return (await at.get(host="a.localhost")).status == 200
        return False

    await until(serves, timeout=1.0)
    assert at.waker.calls == 0


async def test_the_number_of_cells_may_change_and_nothing_is_left_of_the_others(at: Bench) -> None:
    await at.edge.stop(envoy_too=False)
    for cells in (1, 2):
        at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=cells))
        await at.edge.start()
        await at.edge.replace_all([route(at, "a", "acme")])
        assert (await at.get(host="a.localhost")).status == 200
        assert len(envoys_of(at.cloud)) == cells
        if cells == 1:
            await at.edge.stop(envoy_too=False)
    await at.edge.stop(envoy_too=False)
    at.cloud = replace(at.cloud, http_port=free_port())
    at.edge = EnvoyEdge(at.cloud, TestWaker(), spawn, EdgeOptions(cells=1, own=("acme",)))
    await at.edge.start()
    await at.edge.put(route(at, "a", "acme"))
    cells = at.edge.status().detail["cells"]
    assert [(cell.get("org"), cell["routes"]) for cell in cells] == [(None, 1), ("acme", 1)]  # type: ignore[attr-defined]
    assert (await fetch(at.cloud.http_port, "a.localhost")).status == 200


async def test_nobody_but_the_front_reaches_a_cell_and_no_process_is_root(at: Bench) -> None:
    detail = at.edge.status().detail
    users = [cell["user"] for cell in detail["cells"]]  # type: ignore[attr-defined]
    if 0 not in users:
        assert len(set(users)) == CELLS
    sock = at.cloud.run / "edge" / "cells" / "0" / "in" / "http.sock"
    await until(sock.is_socket, what="the cell listens")
    assert sock.stat().st_mode & 0o007 == 0
    assert sock.parent.stat().st_mode & 0o007 == 0
    spoofed = b"PROXY TCP4 6.6.6.6 127.0.0.1 1 80\r\nGET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", at.cloud.http_port), 20) as link:
        link.sendall(spoofed)
        assert link.recv(4096).startswith(b"HTTP/1.1 400 "), "a client can't say whose address it has"
    assert at.app.requests == 0


async def test_without_roostd_dead_processes_come_back_with_the_last_good_configuration(at: Bench) -> None:
    await at.edge.put(route(at, "a", org_in("0", "1")))
    await at.edge.put(route(at, "gone", org_in("0", "1")))
    assert await at.edge.remove("gone")
    await at.edge.stop(envoy_too=False)
    told = EnvoyEdge(at.cloud, TestWaker(), spawn, EdgeOptions(cells=CELLS))  # nobody wakes anything there
    await told.stand_in()
    try:
        detail = told.status().detail
        pids = [cell["pid"] for cell in detail["cells"]] + [detail["front"]["pid"]]  # type: ignore[attr-defined,index]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

        async def answers(host: str, status: int) -> bool:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return (await at.get(host=host)).status == status
            return False

        await until(lambda: answers("a.localhost", 200), what="an awake app is served again")
        await until(lambda: answers("gone.localhost", 503), what="nobody is there to wake another")
    finally:
        await told.stop(envoy_too=False)
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=CELLS))
    await at.edge.start()
    await at.edge.replace_all([route(at, "a", org_in("0", "1"))])
    assert set(pids).isdisjoint(pid_of(at, name) for name in "012")
    assert (await at.get(host="a.localhost")).status == 200
    assert at.edge.status().detail["adopted"]
    assert at.waker.calls == 0


async def test_after_a_reboot_the_edge_starts_without_roostd_and_says_what_is_missing(at: Bench) -> None:
    """No machine outlives a reboot, so no route would lead anywhere: the edge says so until roostd has come."""
    await at.edge.put(route(at, "a", org_in("0", "1")))
    detail = at.edge.status().detail
    pids = [cell["pid"] for cell in detail["cells"]] + [detail["front"]["pid"]]  # type: ignore[attr-defined,index]
    await at.edge.stop(envoy_too=False)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(wait_for_end(pid), 5.0)
    shutil.rmtree(at.cloud.run)
    told = EnvoyEdge(at.cloud, TestWaker(), spawn, EdgeOptions(cells=CELLS))
    await told.stand_in()
    try:

        async def says_so() -> bool:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                answer = await at.get(host="a.localhost")
                assert answer.headers["roost-error"] == "control_plane_restarting"
                return (answer.status, answer.headers["retry-after"]) == (503, "2")
            return False

        await until(says_so, what="the edge answers")
    finally:
        await told.stop(envoy_too=False)
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=CELLS))
    await at.edge.start()
    await at.edge.replace_all([route(at, "a", org_in("0", "1"))])
    assert (await at.get(host="a.localhost")).status == 200
