"""What thousands of connections in the same instant cost others at an edge with cells, and which part costs it.

One org's host is called by a client that connects to it all at once; another org, in other cells, is asked all the
while on new connections. The parts: connections to a port that is not the edge's (what the client
itself costs this machine), connections that say nothing, connections that were there and now ask, and all of
it; and all of it from another address than loopback, without and with the kernel's limit on new connections.
Each beside the same time with nothing happening.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import harness
from cells import CELLS, _backends, _edge, _org, _p99, _probe, _route
from cells_parts import only_when_idle, ready
from harness import PYTHON, ROOT, Report, say

from roost.daemon.edge_settings import CLIENTS
from roost.edge.edge import EnvoyEdge
from roost.host import nftables
from roost.host.network_clients import ClientLimits

COUNT = 3000
PARTS = ROOT / "bench" / "burst.py"
AFTER = 1.0  # seconds in which others are looked at


def client(address: str, port: int, host: str, count: int, kind: str) -> None:
    """Connect `count` times at once; say on standard output when that begins and ends."""
    import resource

    resource.setrlimit(
        resource.RLIMIT_NOFILE, (count + 100, max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    text = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    links = [socket.socket() for _ in range(count)]

    def connect() -> None:
        for link in links:
            link.setblocking(False)
            link.connect_ex((address, port))

    if kind == "ask":  # they are there before
        for link in links:
            link.connect((address, port))
            time.sleep(0.0002)
    print("ready", flush=True)
    sys.stdin.readline()
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


@contextlib.contextmanager
def _elsewhere() -> Iterator[tuple[str, str]]:
    """Make a network namespace that reaches this host; gives its name and this host's address there."""
    name = f"burst{secrets.token_hex(3)}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, timeout=10)

    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("address", "add", "10.249.77.1/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "address", "add", "10.249.77.2/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        yield name, "10.249.77.1"
    finally:
        ip("netns", "delete", name)


@contextlib.contextmanager
def _limited(port: int, arrivals: int) -> Iterator[None]:
    """Have the kernel limit new connections to the edge, as a cloud does."""
    table = f"burst_{secrets.token_hex(3)}"
    limits = ClientLimits(connections=CLIENTS.connections, arrivals=arrivals)
    networks = IPv4Network("10.248.0.0/16"), IPv6Network("fdaa:ffff:ffff::/48")
    nftables.load(nftables.Rules(table, "rburst", *networks, public=frozenset({("tcp", port)}), clients=limits))
    try:
        yield
    finally:
        nftables.remove(table)


async def _client(before: Sequence[str], port: int, kind: str, place: Sequence[str]) -> asyncio.subprocess.Process:
    """Return a client that is ready to begin; `before` is written before its command."""
    name, address = place or ("", "127.0.0.1")
    inside = ["ip", "netns", "exec", name] if name else []
    argv = [*before, *inside, PYTHON, str(PARTS), "client", address, str(port), "victim.localhost", str(COUNT), kind]
    return await ready(argv)


def _cpu(edge: EnvoyEdge) -> dict[str, float]:
    """Return the milliseconds of processor time that each process of the edge has had."""
    detail: Any = edge.status().detail
    pids = {"front": detail["front"]["pid"], **{f"cell {cell['name']}": cell["pid"] for cell in detail["cells"]}}
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) * 10.0
    return found


async def _round(port: int, kind: str, at: int, place: Sequence[str] = ()) -> tuple[float, list[float]]:
    """Return the seconds that the burst took to send, and what others took in the second from its begin."""
    with only_when_idle() as before:
        client = await _client(before, at, kind, place) if kind else None
        await asyncio.sleep(1.0)  # what was before is over
        probe = asyncio.create_task(_probe(port, "other.localhost", 4.0))
        await asyncio.sleep(1.5)
        began, ended = time.time(), time.time()
        if client is not None:
            out, _ = await client.communicate(b"go\n")
            began, ended = json.loads(out)
    answers = await probe
    return ended - began, [took for moment, took, _ in answers if began - 0.01 <= moment <= began + AFTER]


async def _measure(report: Report, rounds: int) -> None:
    with _backends("victim", "other") as (victim, other), socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(4096)
        async with _edge(CELLS) as (edge, port):
            await edge.put(_route("victim", _org("1", "2"), victim))
            await edge.put(_route("other", _org("0", "2"), other))
            await _round(port, "", port)
            found: dict[str, list[float]] = {}

            async def part(name: str, kind: str, at: int, place: Sequence[str] = ()) -> None:
                before = _cpu(edge)
                took, times = await _round(port, kind, at, place)
                spent = {name: ms - before[name] for name, ms in _cpu(edge).items()}
                told = f"sent in {took:.3f} s, others p99 {_p99(times):.1f} ms"
                say(f"{name}: {told}, worst {max(times):.1f} of {len(times)}; {spent}")
                found.setdefault(name, []).extend(times)

            for _ in range(rounds):
                await part("nothing", "", port)
                await part("connections to another program", "silent", deaf.getsockname()[1])
                await part("connections that say nothing", "silent", port)
                await part("requests on connections that are there", "ask", port)
                await part("connections with a request", "all", port)
                with _elsewhere() as place:
                    await part("the same from another address", "all", port, place)
                    with _limited(port, CLIENTS.arrivals):
                        await part("the same with the kernel's limit", "all", port, place)
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
        _, _, address, port, host, count, kind = sys.argv
        client(address, int(port), host, int(count), kind)
    else:
        sys.exit(harness.main("burst", measure, __doc__))
