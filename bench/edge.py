"""Requests through Roost's edge beside bare Envoy, nginx, HAProxy, Caddy and Traefik, to the same backend.

The backend is nginx in a machine of Roost; the peers reach it at the machine's private address. Per scenario (protocol,
size of the answer, connections) the contenders take turns for some seconds each; h2load counts, and its log gives the
percentiles. Processor time is all that a contender's processes used, roostd with its logs included, per request.
The order of the turns is another one each round, the same in each run: what one does after its load (those in Go tidy
their memory) would always fall on the same next one.
A turn that does not end in time is ended, named ("no answer") and left out of the figures; the others go on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness import Cloud, Report, say
from proxies import cpu_of, start_all

from roost.model.cloud import run_directory

APP = "edgebench"
SMALL, LARGE = "/small", "/large"
CONNECTIONS = (1, 32, 256)
PROTOCOLS = ("http/1.1", "h2+tls")
PEERS_AHEAD = ("caddy", "traefik")
GOAL = 0.9  # of bare Envoy's requests per second
ORDER = 4  # seed of the order of the turns
PATIENCE = 20  # seconds that a turn may take beyond its own
_NGINX = """daemon off; error_log /dev/stderr error; worker_processes 2; pid /tmp/pid;
events { worker_connections 8192; }
http { access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 600s;
  server { listen 8080; root /srv/files; } }
"""
_DOCKERFILE = """FROM roost/base:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends nginx && rm -rf /var/lib/apt/lists/*
COPY nginx.conf /etc/roost-bench.conf
COPY files /srv/files
EXPOSE 8080
CMD ["nginx", "-c", "/etc/roost-bench.conf"]
"""


@dataclass
class Contender:
    """One proxy: where it listens, and the processor seconds that it has used so far."""

    name: str
    http_port: int
    https_port: int
    cpu: Callable[[], float]


@dataclass
class Sample:
    """One turn of one contender."""

    rate: float  # requests per second
    p50: float  # milliseconds
    p99: float
    cpu: float  # microseconds per request
    failed: int


def measure(report: Report, quick: bool) -> None:
    if shutil.which("h2load") is None:
        raise RuntimeError("h2load is missing: apt-get install nghttp2-client")
    seconds, rounds = (1, 1) if quick else (3, 3)
    with harness.cloud() as cloud, tempfile.TemporaryDirectory(prefix="roost-edge-", dir="/var/tmp") as directory:
        place = Path(directory)
        backend = _launch(cloud, place / "app")
        with _contenders(cloud, place, backend) as contenders:
            table = _run(contenders, place / "log", seconds, rounds)
    _tell(report, table)


def _launch(cloud: Cloud, source: Path) -> tuple[str, int]:
    """Deploy the backend and return its machine's address."""
    (source / "files").mkdir(parents=True)
    for name in ("index.html", "small"):
        (source / "files" / name).write_text("hello\n")
    (source / "files/large").write_bytes(b"x" * 100_000)
    (source / "nginx.conf").write_text(_NGINX)
    (source / "Dockerfile").write_text(_DOCKERFILE)
    (source / "roost.toml").write_text(
        f'app = "{APP}"\n[http_service]\ninternal_port = 8080\nauto_stop_machines = "off"\n'
        "min_machines_running = 1\n[[vm]]\ncpus = 2\nmemory = '512mb'\n"
    )
    say("building the backend")
    cloud.roost("launch", "--yes", source)
    (machine,) = cloud.call("GET", f"/apps/{APP}/machines")
    harness.until_200(cloud.edge, cloud.host(APP), patience=5)
    return _address_of(machine), 8080


def _address_of(machine: dict[str, Any]) -> str:
    return str(machine.get("private_ipv4") or machine["private_ip"])


@contextlib.contextmanager
def _contenders(cloud: Cloud, place: Path, backend: tuple[str, int]) -> Iterator[list[Contender]]:
    certificate, key = _self_signed(place)
    peers = start_all(place, backend, certificate, key)
    try:
        ours = Contender("roost", cloud.http_port, cloud.https_port, lambda: cpu_of(_processes(cloud)))
        yield [ours, *(Contender(p.name, p.http_port, p.https_port, p.cpu) for p in peers)]
    finally:
        for peer in peers:
            peer.close()


def _self_signed(place: Path) -> tuple[Path, Path]:
    certificate, key = place / "cert.pem", place / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


def _processes(cloud: Cloud) -> list[int]:
    """Return the processes of roostd and the edge: their arguments name the cloud's directories. No machine's do."""
    run = str(run_directory(json.loads((cloud.home / "cloud.json").read_text())["id"])).encode()
    found = [cloud.pids()[0]]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if run in words and b"conmon" not in words:
                    found.append(int(entry.name))
    return sorted(set(found))


Table = dict[tuple[str, str, int], dict[str, list[Sample]]]


def _run(contenders: list[Contender], log: Path, seconds: int, rounds: int) -> Table:
    """Take the turns; a contender that gave no answer in a scenario gets no more turns in it."""
    table: Table = {}
    order = random.Random(ORDER)
    for protocol, path, connections in itertools.product(PROTOCOLS, (SMALL, LARGE), CONNECTIONS):
        say(f"{protocol} {path} {connections} connections")
        row = table.setdefault((protocol, path, connections), {one.name: [] for one in contenders})
        silent: set[str] = set()
        for _ in range(rounds):
            for one in order.sample(contenders, len(contenders)):
                if one.name in silent:
                    continue
                sample = _load(one, protocol, path, connections, seconds, log)
                if sample is None:
                    say(f"  {one.name}: no answer")
                    silent.add(one.name)
                    row[one.name].clear()
                else:
                    row[one.name].append(sample)
    return table


def _load(one: Contender, protocol: str, path: str, connections: int, seconds: int, log: Path) -> Sample | None:
    """Return what a turn measured, None if it did not end in time or nothing was answered."""
    tls = protocol == "h2+tls"
    port = one.https_port if tls else one.http_port
    url = f"{'https' if tls else 'http'}://{APP}.localhost:{port}{path}"
    log.unlink(missing_ok=True)
    before = one.cpu()
    try:
        subprocess.run(
            ["h2load", "--connect-to", f"127.0.0.1:{port}", "-c", str(connections), "-m", "1", "-D", str(seconds),
             "--log-file", log, *([] if tls else ["--h1"]), url],
            check=True, capture_output=True, timeout=seconds + PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    used = one.cpu() - before
    times, failed = [], 0
    for line in log.read_text().splitlines():
        _, status, took = line.split("\t")[:3]
        if status == "200":
            times.append(int(took) / 1000)
        else:
            failed += 1
    if not times:
        return None
    times.sort()
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return Sample(len(times) / seconds, times[len(times) // 2], p99, used / len(times) * 1e6, failed)


def _tell(report: Report, table: Table) -> None:
    rates: dict[str, list[dict[str, float]]] = {}  # by protocol, of each scenario what there is
    notes = [f"{'scenario':<28}{'':<9}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'cpu us':>9}{'of envoy':>10}{'failed':>8}"]
    unanswered = []
    for (protocol, path, connections), row in table.items():
        scenario = f"{protocol} {path[1:]} c={connections}"
        medians = {name: _median(samples) for name, samples in row.items() if samples}
        rates.setdefault(protocol, []).append({name: m.rate for name, m in medians.items()})
        for name in row:
            if name not in medians:
                unanswered.append(f"{scenario} {name}")
                notes.append(f"{scenario:<28}{name:<9}no answer")
                continue
            m = medians[name]
            share = f"{m.rate / medians['envoy'].rate:.2f}" if "envoy" in medians else "-"
            notes.append(
                f"{scenario:<28}{name:<9}{m.rate:>9.0f}{m.p50:>9.2f}{m.p99:>9.2f}{m.cpu:>9.1f}{share:>10}{m.failed:>8}"
            )
            report.series(f"{scenario} {name}", [s.rate for s in row[name]], "/s")
    for protocol, found in rates.items():
        report.goal(f"{protocol}: bare Envoy / Roost, requests per second", _ratio(found, "envoy", "roost"), 1 / GOAL)
        for peer in PEERS_AHEAD:
            report.goal(f"{protocol}: {peer} / Roost, requests per second", _ratio(found, peer, "roost"), 1.0)
    report.goal("scenarios in which Roost gave no answer", sum(one.endswith(" roost") for one in unanswered), 0)
    report.detail["notes"] = notes
    report.detail["no answer"] = unanswered
    report.detail["failed"] = sum(s.failed for row in table.values() for samples in row.values() for s in samples)


def _ratio(rates: list[dict[str, float]], above: str, below: str) -> float:
    """Return the geometric mean over the scenarios in which both gave an answer; 0 if there is none."""
    logs = [math.log(one[above] / one[below]) for one in rates if above in one and below in one]
    return math.exp(statistics.fmean(logs)) if logs else 0.0


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        *(statistics.median(getattr(s, part) for s in samples) for part in ("rate", "p50", "p99", "cpu")),
        failed=sum(s.failed for s in samples),
    )


if __name__ == "__main__":
    sys.exit(harness.main("edge", measure, __doc__))
