"""The edge's cells: what one that is killed, frozen or overloaded costs its org and others, and what the front costs.

The edge runs here without the rest of Roost, in front of small backends: what is measured is the edge. The others' p99
is of new connections at a fixed rate, beside the same with nothing happening before each, in the same run. The end
of an overload, when thousands of connections are cut in the same instant, is part of it, and is told apart too. On a
virtual machine its host may keep a processor from it for milliseconds: how much of that there was is told for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import harness
from cells_parts import ask, only_when_idle, ready
from harness import PYTHON, ROOT, Report, free_port, say

from roost.daemon.edge_processes import limiter
from roost.edge.contract import Endpoint, Refusal, Route, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.host import service_cgroups
from roost.model.cloud import Cloud
from roost.plan.cells import common_cells, shard

CELLS = 3
RATE = 100.0  # requests per second of each probe
SLOW = 500.0  # milliseconds: an answer that takes longer counts as an outage
CUT = 0.1  # seconds before an overload ends: what is asked then may still be answered after it
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
            service_cgroups.remove(cloud.edge_cgroups)
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


@dataclass(frozen=True, slots=True)
class Round:
    """What was answered while something happened: [begin, milliseconds, answered well] of each request."""

    struck: float
    over: float  # an overload ends then; what is done at once is over at once
    others: list[tuple[float, float, bool]]
    own: list[tuple[float, float, bool]]
    stolen: float  # milliseconds of processors per second that the host of this machine kept from it

    def took(self, begin: float, end: float) -> list[float]:
        """Return how long the others' requests took that began between two moments."""
        return [took for at, took, _ in self.others if begin <= at < end]


@contextlib.asynccontextmanager
async def _flood(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Give a client that is ready to overload the victim's cell, and begins when told; it is killed afterwards."""
    with only_when_idle() as before:
        client = await ready([*before, PYTHON, str(PARTS), "hold", str(port), "victim.localhost", "3000", "60"])
        try:
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                client.kill()
            await client.wait()


async def _harm(edge: EnvoyEdge, what: str, flood: asyncio.subprocess.Process | None, seconds: float) -> float:
    """Do something to cell 1; returns when it was over: at once, but for an overload, which lasts `seconds`."""
    if what in ("kill -9", "SIGSTOP"):
        os.kill(_pid(edge, "1"), signal.SIGKILL if what == "kill -9" else signal.SIGSTOP)
    if flood is None:
        return time.time()
    assert flood.stdin is not None
    flood.stdin.write(b"go\n")
    await asyncio.sleep(seconds)
    over = time.time()
    flood.kill()
    return over


async def _round(edge: EnvoyEdge, port: int, what: str, seconds: float) -> Round:
    """Ask for two orgs while something happens to the cell of one."""
    say(f"cells: {what}")
    async with _flood(port) if what == "overload" else contextlib.nullcontext() as flood:
        probes = asyncio.gather(_probe(port, "other.localhost", seconds), _probe(port, "victim.localhost", seconds))
        await asyncio.sleep(1.0)
        struck, stolen = time.time(), _stolen()
        over = await _harm(edge, what, flood, (seconds - 1) * 0.6)
        others, own = await probes
        stolen = (_stolen() - stolen) / (time.time() - struck)
    await asyncio.sleep(2.0)
    return Round(struck, over, others, own, stolen)


def _stolen() -> float:
    """Return the milliseconds, since it began, that processors of this machine had to wait for others of its host."""
    total = Path("/proc/stat").read_text().partition("\n")[0].split()
    return int(total[8]) * 1000 / os.sysconf("SC_CLK_TCK")


async def _blast(report: Report, seconds: float, rounds: int) -> None:
    """One org's cell suffers; another org, in other cells, is asked all the while. Quiet rounds are in between."""
    with _backends("victim", "other") as backends:
        async with _edge(CELLS) as (edge, port):
            await edge.put(_route("victim", _org("1", "2"), backends[0]))
            await edge.put(_route("other", _org("0", "2"), backends[1]))
            await _round(edge, port, "warm-up", seconds / 4)
            quiet: list[Round] = []
            harmed: dict[str, list[Round]] = {what: [] for what in ("kill -9", "SIGSTOP", "overload")}
            for _ in range(rounds):
                for what, found in harmed.items():
                    quiet.append(await _round(edge, port, "nothing", seconds))
                    found.append(await _round(edge, port, what, seconds))
    calm = [took for one in quiet for took in one.took(one.struck, math.inf)]
    report.series("nothing: another org, new connections", calm)
    report.detail["nothing"] = {"p99": _p99(calm), "n": len(calm), "stolen_ms_per_s": _mean_stolen(quiet)}
    for what, found in harmed.items():
        _tell(report, what, _p99(calm), found)


def _mean_stolen(rounds: Sequence[Round]) -> float:
    return sum(one.stolen for one in rounds) / len(rounds)


def _tell(report: Report, what: str, quiet: float, rounds: Sequence[Round]) -> None:
    if what == "overload":
        cut = [took for one in rounds for took in one.took(one.over - CUT, one.over + 1.0)]
        report.series("overload's end, all connections cut at once: another org in that second", cut)
        report.detail["overload's end"] = {"p99": _p99(cut), "ratio": _p99(cut) / quiet, "n": len(cut)}
    times = [took for one in rounds for took in one.took(one.struck, math.inf)]
    report.series(f"{what}: another org, new connections", times)
    failed = sum(not well for one in rounds for _, _, well in one.others)
    outages, lost = zip(*(_outage(one) for one in rounds), strict=True)
    report.detail[what] = {"p99": _p99(times), "others_failed": failed, "n": len(times)}
    report.detail[what] |= {"own_failed": sum(lost), "own_back_after_s": max(outages)}
    report.detail[what] |= {"stolen_ms_per_s": _mean_stolen(rounds)}
    report.goal(f"{what}: others' p99 beside quiet", _p99(times) / quiet, 1.2)
    report.goal(f"{what}: others' failed requests", failed, 0)
    report.goal(f"{what}: the org itself is back after", max(outages), 1.0, "s")


def _outage(one: Round) -> tuple[float, int]:
    """Return for how many seconds the org itself was not served well after all was over, and its failed requests."""
    ends = [(at + took / 1000 - one.over, took, well) for at, took, well in one.own if at >= one.struck - 1]
    bad = [end for end, _, well in ends if not well]
    slow = [end for end, took, well in ends if well and took > SLOW]
    return max([*bad, *slow, 0.0]), len(bad)


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
    asyncio.run(_blast(report, *((5.0, 1) if quick else (15.0, 3))))
    asyncio.run(_front(report, 100 if quick else 2000))


if __name__ == "__main__":
    sys.exit(harness.main("cells", measure, __doc__))
