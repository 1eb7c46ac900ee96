"""The edge's cells: what one that is killed, frozen or overloaded costs its org and others, and what the front costs.

The edge runs here without the rest of Roost, in front of small backends: what is measured is the edge. The others' p99
is of new connections at a fixed rate, beside the same with nothing happening, in the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import harness
from cells_parts import ask
from harness import PYTHON, ROOT, Report, free_port, say

from roost.daemon.edge_processes import limiter
from roost.edge.contract import Endpoint, Refusal, Route, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.host.cgroups import Cgroups
from roost.model.cloud import Cloud
from roost.plan.cells import common_cells, shard

CELLS = 3
RATE = 100.0  # requests per second of each probe
PARTS = ROOT / "bench" / "cells_parts.py"


class Nobody:
    """A waker for an edge where nothing sleeps."""

    async def wake(self, host: str) -> WakeResult:
        """Refuse every host."""
        return WakeResult(refusal=Refusal(404, "none", "no_such_app", f"No {host[:80]}."))


def _spawn(argv: Sequence[str], log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True).pid


@contextlib.asynccontextmanager
async def _edge(cells: int) -> AsyncIterator[tuple[EnvoyEdge, int]]:
    """Give an edge and its port; it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="roost-cells-", dir="/var/tmp") as directory:
        port = free_port()
        network = IPv4Network("10.79.0.0/16")
        cloud = Cloud(secrets.token_hex(4), Path(directory), port, free_port(), "localhost", network)
        edge = EnvoyEdge(cloud, Nobody(), _spawn, EdgeOptions(cells=cells), limit=limiter(cloud))
        try:
            await edge.start()
            yield edge, port
        finally:
            await edge.stop(envoy_too=True)
            Cgroups(f"{cloud.cgroup}-edge").remove_parent()
            subprocess.run(["rm", "-rf", str(cloud.run)], check=False)


@contextlib.contextmanager
def _backends(*words: str) -> Any:
    """Run a backend for each word; gives their ports."""
    ports = [free_port() for _ in words]
    running = [
        subprocess.Popen([PYTHON, PARTS, "backend", str(port), word]) for port, word in zip(ports, words, strict=True)
    ]
    try:
        for port in ports:
            harness.until_200(("127.0.0.1", port), patience=1.0)
        yield ports
    finally:
        for process in running:
            process.kill()
            process.wait()


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def _route(app: str, org: str, port: int) -> Route:
    return Route(app, (f"{app}.localhost",), (Endpoint("m", "127.0.0.1", port),), org=org)


def _org(first: str, second: str) -> str:
    names = (f"org{number}" for number in range(1000))
    return next(org for org in names if shard(org, common_cells(CELLS)) == (first, second))


def _pid(edge: EnvoyEdge, name: str) -> int:
    cells: Any = edge.status().detail["cells"]
    return next(int(cell["pid"]) for cell in cells if cell["name"] == name)


async def _probe(port: int, host: str, seconds: float) -> list[tuple[float, float, bool]]:
    process = await asyncio.create_subprocess_exec(
        PYTHON, PARTS, "probe", str(port), host, str(RATE), str(seconds), stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return [tuple(row) for row in json.loads(out)]


async def _harm(edge: EnvoyEdge, port: int, what: str, seconds: float) -> float:
    """Do something to cell 1; returns when it was over: at once, but for an overload, which lasts `seconds`."""
    if what in ("kill -9", "SIGSTOP"):
        os.kill(_pid(edge, "1"), signal.SIGKILL if what == "kill -9" else signal.SIGSTOP)
    elif what == "overload":
        argv = [PYTHON, PARTS, "hold", str(port), "victim.localhost", "3000", "60"]
        holder = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.DEVNULL)
        await asyncio.sleep(seconds)
        holder.kill()
        await holder.wait()
    return time.time()


async def _round(edge: EnvoyEdge, port: int, what: str, seconds: float) -> tuple[float, float, Any, Any]:
    """Ask for two orgs while something happens to the cell of one; returns when it began and ended, and the answers."""
    say(f"cells: {what}")
    probes = asyncio.gather(_probe(port, "other.localhost", seconds), _probe(port, "victim.localhost", seconds))
    await asyncio.sleep(1.0)
    struck = time.time()
    over = await _harm(edge, port, what, (seconds - 1) * 0.6)
    others, own = await probes
    await asyncio.sleep(2.0)
    return struck, over, others, own


async def _blast(report: Report, seconds: float) -> None:
    """One org's cell suffers; another org, in other cells, is asked all the while. Quiet rounds are in between."""
    with _backends("hi") as (backend,):
        async with _edge(CELLS) as (edge, port):
            await edge.put(_route("victim", _org("1", "2"), backend))
            await edge.put(_route("other", _org("0", "2"), backend))
            await _round(edge, port, "warm-up", seconds / 4)
            quiet: list[float] = []
            harmed: dict[str, tuple[float, float, Any, Any]] = {}
            for what in ("kill -9", "SIGSTOP", "overload"):
                struck, _, others, _ = await _round(edge, port, "nothing", seconds)
                quiet += [took for at, took, _ in others if at >= struck]
                harmed[what] = await _round(edge, port, what, seconds)
            report.series("nothing: another org, new connections", quiet)
            report.detail["nothing"] = {"p99": _p99(quiet), "n": len(quiet)}
            for what, found in harmed.items():
                _tell(report, what, _p99(quiet), *found)


def _tell(report: Report, what: str, quiet: float, struck: float, over: float, others: Any, own: Any) -> None:
    times = [took for at, took, _ in others if at >= struck]
    failed = sum(1 for _, _, well in others if not well)
    report.series(f"{what}: another org, new connections", times)
    bad = [at + took / 1000 - over for at, took, well in own if at >= struck - 1 and not well]
    slow = [at + took / 1000 - over for at, took, well in own if well and took > 500]
    outage = max([*bad, *slow, 0.0])
    report.detail[what] = {"p99": _p99(times), "others_failed": failed, "n": len(times)}
    report.detail[what] |= {"own_failed": len(bad), "own_back_after_s": outage}
    report.goal(f"{what}: others' p99 beside quiet", _p99(times) / quiet, 1.2)
    report.goal(f"{what}: others' failed requests", failed, 0)
    report.goal(f"{what}: the org itself is back after", outage, 1.0, "s")


async def _front(report: Report, rounds: int) -> None:
    """A connection of its own for each request, through the front and a cell, beside Envoy alone: in turns."""
    say("cells: what the front costs")
    with _backends("hi") as (backend,):
        async with _edge(1) as (alone, direct), _edge(2) as (fronted, through):
            for edge in (alone, fronted):
                await edge.put(_route("app", "org", backend))
            times: dict[int, list[float]] = {direct: [], through: []}
            for _ in range(rounds):
                for port in times:
                    began = time.perf_counter()
                    if not await ask(port, "app.localhost"):
                        raise RuntimeError("no answer")
                    times[port].append((time.perf_counter() - began) * 1000)
            bare = report.series("a request on a new connection, Envoy alone", times[direct])
            more = report.series("the same through the front", times[through])
            report.detail["front"] = {"ratio": more / bare, "more_ms": more - bare}
            kept = {port: await _kept(port, rounds) for port in (direct, through, direct, through)}
            bare = report.series("a request on a kept connection, Envoy alone", kept[direct])
            more = report.series("the same through the front, kept", kept[through])
            report.detail["front_kept"] = {"ratio": more / bare, "more_ms": more - bare}


async def _kept(port: int, rounds: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            writer.write(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        writer.close()
    return times


def measure(report: Report, quick: bool) -> None:
    asyncio.run(_blast(report, 5.0 if quick else 20.0))
    asyncio.run(_front(report, 100 if quick else 2000))


if __name__ == "__main__":
    sys.exit(harness.main("cells", measure, __doc__))
