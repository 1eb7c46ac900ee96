"""The edge with roostd dead: `roost edge start` brings back what runs, and the next roostd takes over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.e2e.edge.edge_harness import Answer, AnyName, Bench, bench, free_port, spawn, until

from roost.daemon import cloud_file, edge_stand_in, pid_file, processes
from roost.daemon.up import ensure_run_directory
from roost.edge.contract import Endpoint, Route
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.edge.process import wait_for_end
from roost.host import service_cgroups
from roost.host.mounts import unmount
from roost.model.cloud import Cloud

CELLS = 2
DOMAIN = "apps.test"


def _prepare(cloud: Cloud) -> None:
    """Make home and run directory as `roost up` does."""
    cloud_file.save_cloud(cloud)
    ensure_run_directory(cloud)
    (cloud.home / "config.toml").write_text(f"[edge]\ncells = {CELLS}\n")
    edge_stand_in.remember_settings(cloud)


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, cells=CELLS, certificates=AnyName(), domain=DOMAIN, prepare=_prepare) as made:
        try:
            yield made
        finally:
            pid_file.end(processes.stand_in_pid_file(made.cloud), timeout=3)
            await made.edge.stop(envoy_too=True)
            unmount(made.cloud.run)
            service_cgroups.remove(made.cloud.edge_cgroups)


async def _roost(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roost.daemon", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode or 0, out.decode()


def _pids(at: Bench) -> list[int]:
    detail = at.edge.status().detail
    return [*(cell["pid"] for cell in detail["cells"]), detail["front"]["pid"]]  # type: ignore[attr-defined,index]


async def _kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(asyncio.gather(*map(wait_for_end, pids)), 5)


def _edge_pids(at: Bench) -> list[int]:
    return sorted(pid for path in processes.edge_pid_files(at.cloud).values() if (pid := pid_file.read(path)))


async def _answers(at: Bench, host: str, status: int, error: str = "") -> bool:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        answer: Answer = await at.get(host=host)
        return (answer.status, answer.headers.get("roost-error", "")) == (status, error)
    return False


async def _secret(at: Bench, host: str) -> str:
    """Make a request by TLS and return the answer's head."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", at.cloud.https_port, ssl=trusting, server_hostname=host
        )
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return (await reader.readuntil(b"\r\n\r\n")).decode()
        finally:
            writer.close()


async def test_with_roostd_dead_the_edge_is_started_kept_running_and_taken_over(at: Bench) -> None:
    here, gone = f"here.{DOMAIN}", f"gone.{DOMAIN}"
    dead = Endpoint("00000000000002", "127.0.0.1", free_port())  # its machine died with the rest
    routes = [
        Route("here", (here,), (at.endpoint,), org="acme"),
        Route("gone", (gone,), (dead,), org="acme"),
    ]
    for route in routes:
        await at.edge.put(route)
    assert (await _secret(at, here)).startswith("HTTP/1.1 200")
    old = _pids(at)
    await at.edge.stop(envoy_too=False)
    await _kill(old)
    (at.cloud.home / "state.db").write_bytes(b"this is no database")
    (at.cloud.home / "config.toml").write_text("[edge]\ncells = 'many'\n")

    home = ("--home", str(at.cloud.home))
    code, told = await _roost("edge-start", *home)
    assert code == 0, told
    assert "the settings with which roostd last ran" in told
    stand_in = pid_file.read(processes.stand_in_pid_file(at.cloud))
    assert f"a stand-in, pid {stand_in}, looks after the edge" in told
    await until(lambda: _answers(at, here, 200), what="a machine that runs is served again")
    await until(lambda: _answers(at, gone, 502, "app_not_listening"), what="and the other's error is the app's")
    assert await _answers(at, f"asleep.{DOMAIN}", 503, "control_plane_restarting")
    assert (await _secret(at, here)).startswith("HTTP/1.1 200")
    assert len(_edge_pids(at)) == CELLS + 1, "as many as roostd last had"

    victim = _edge_pids(at)[0]
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(pids := _edge_pids(at)) == CELLS + 1 and victim not in pids, what="the killed one is back")
    code, told = await _roost("edge-start", *home)
    assert (code, f"pid {stand_in}," in told) == (0, True), "there is one, and it is left alone"

    await until(lambda: _answers(at, here, 200))
    running = _edge_pids(at)
    held = asyncio.create_task(at.get("/hold", host=here))
    await until(lambda: at.app.active == 1)
    lock = await asyncio.to_thread(edge_stand_in.take_over, at.cloud)  # as roostd does when it starts
    try:
        at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=CELLS), certificates=AnyName())
        await at.edge.start()
        await at.edge.replace_all(routes)
        assert sorted(_pids(at)) == running, "all are adopted"
        at.app.release.set()
        assert (await held).status == 200, "and no connection is dropped"
        assert pid_file.read(processes.stand_in_pid_file(at.cloud)) is None
    finally:
        os.close(lock)

    await at.edge.stop(envoy_too=False)
    await _kill(running)
    await _reboot(at, here)


async def _reboot(at: Bench, host: str) -> None:
    """With the run directory gone no route is known, but the edge says so, and by TLS too."""
    unmount(at.cloud.run)
    shutil.rmtree(at.cloud.run)
    kept = at.cloud.home / "edge"
    assert kept.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept.iterdir())
    code, told = await _roost("edge-start", "--home", str(at.cloud.home))
    assert code == 0, told
    await until(lambda: _answers(at, host, 503, "control_plane_restarting"))
    assert "roost-error: control_plane_restarting" in await _secret(at, host)
