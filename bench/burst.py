"""What thousands of connections in the same instant cost others at an edge with cells, and which part costs it.

One org's host is called by a client that connects to it all at once; another org, in other cells, is asked all the
while on new connections. The parts: connections to a port that is not the edge's (what the client
itself costs this machine), connections that say nothing, connections that were there and now ask, and all of
it. Each beside the same time with nothing happening.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
from cells import CELLS, _backends, _edge, _org, _p99, _probe, _route
from harness import PYTHON, ROOT, Report, say

from roost.edge.edge import EnvoyEdge

COUNT = 3000
PARTS = ROOT / "bench" / "burst.py"
AFTER = 1.0  # seconds in which others are looked at


def client(port: int, host: str, count: int, kind: str) -> None:
    """Connect `count` times at once; say on standard output when that begins and ends."""
    import os
    import resource

    os.nice(19)  # whoever does this is on a computer of his own
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (count + 100, max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    text = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    links = [socket.socket() for _ in range(count)]

    def connect() -> None:
        for link in links:
            link.setblocking(False)
            link.connect_ex(("127.0.0.1", port))

    if kind == "ask":  # they are there before
        for link in links:
            link.connect(("127.0.0.1", port))
            time.sleep(0.0002)
        time.sleep(1.0)
    began = time.time()
    if kind != "ask":
        connect()
    if kind != "silent":
        for link in links:
            try:
                link.send(text)
            except OSError:
                continue
    print(json.dumps([began, time.time()]), flush=True)
    time.sleep(AFTER)


async def _burst(port: int, kind: str) -> list[float]:
    argv = [PYTHON, str(PARTS), "client", str(port), "victim.localhost", str(COUNT), kind]
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return list(json.loads(out))


def _cpu(edge: EnvoyEdge) -> dict[str, float]:
    """Return the milliseconds of processor time that each process of the edge has had."""
    detail: Any = edge.status().detail
    pids = {"front": detail["front"]["pid"], **{f"cell {cell['name']}": cell["pid"] for cell in detail["cells"]}}
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) * 10.0
    return found


async def _round(port: int, kind: str, at: int) -> tuple[float, list[float]]:
    """Return the seconds that the burst took to send, and what others took in the second from its begin."""
    probe = asyncio.create_task(_probe(port, "other.localhost", 14.0 if kind == "ask" else 4.0))
    await asyncio.sleep(1.0)
    if kind:
        began, ended = await _burst(at, kind)
    else:
        began, ended = time.time(), time.time()
    answers = await probe
    return ended - began, [took for moment, took, _ in answers if began - 0.01 <= moment <= began + AFTER]


async def _measure(report: Report, rounds: int) -> None:
    with _backends("hi") as (backend,), socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(4096)
        async with _edge(CELLS) as (edge, port):
            await edge.put(_route("victim", _org("1", "2"), backend))
            await edge.put(_route("other", _org("0", "2"), backend))
            await _round(port, "", port)
            found: dict[str, list[float]] = {}
            for _ in range(rounds):
                for name, kind, at in (
                    ("nothing", "", port),
                    ("connections to another program", "silent", deaf.getsockname()[1]),
                    ("connections that say nothing", "silent", port),
                    ("requests on connections that are there", "ask", port),
                    ("connections with a request", "all", port),
                ):
                    before = _cpu(edge)
                    took, times = await _round(port, kind, at)
                    spent = {name: ms - before[name] for name, ms in _cpu(edge).items()}
                    told = f"sent in {took:.3f} s, others p99 {_p99(times):.1f} ms"
                    say(f"{name}: {told}, worst {max(times):.1f} of {len(times)}; {spent}")
                    found.setdefault(name, []).extend(times)
            _tell(report, found)


def _tell(report: Report, found: dict[str, list[float]]) -> None:
    quiet = _p99(found["nothing"])
    for name, times in found.items():
        report.series(f"{name}: another org, new connections", times)
        report.detail[name] = {"p99": _p99(times), "worst": max(times), "ratio": _p99(times) / quiet, "n": len(times)}


def measure(report: Report, quick: bool) -> None:
    asyncio.run(_measure(report, 2 if quick else 6))


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        _, _, port, host, count, kind = sys.argv
        client(int(port), host, int(count), kind)
    else:
        sys.exit(harness.main("burst", measure, __doc__))
