"""What the benchmarks share: a cloud of their own, timed requests on raw sockets, figures and goals.

State owned: one cloud below /var/tmp while `cloud()` is open; it is destroyed at the end, also after a
failure. Every wait has a deadline. Requests go to loopback and to machines of that cloud only. A goal that
is missed is printed as missed and never hidden: the exit code says only whether the measuring worked.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOST = ROOT / "roost"
PYTHON = Path(sys.executable)
IMAGE = "roost/base:bookworm"
APP_PORT = 8080

# An HTTP server that is ready a few milliseconds after its exec, in the interpreter that every Debian image
# has: what is measured is the platform, not the app. %d is the port.
_PERL = (
    r'$SIG{INT}=$SIG{TERM}=sub{exit 0};socket(S,2,1,6)||die;setsockopt(S,1,2,pack("i",1));'
    r'bind(S,pack("Sna4x8",2,%d,"\0"x4))||die;listen(S,512)||die;'
    r'while(accept(C,S)){sysread(C,$b,65536);syswrite(C,"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n'
    r'Connection: close\r\n\r\nhi\n");close C}'
)


def server_argv(port: int = APP_PORT) -> list[str]:
    """Return the command of the small server that all contenders run."""
    return ["/usr/bin/perl", "-e", _PERL % port]


def machine_config(**changes: Any) -> dict[str, Any]:
    """Return the configuration of a machine that runs the small server behind a service."""
    service = {
        "protocol": "tcp",
        "internal_port": APP_PORT,
        "ports": [{"port": 80, "handlers": ["http"]}],
        "autostart": True,
        "autostop": "off",  # it sleeps only when the benchmark says so
    }
    return {"image": IMAGE, "init": {"exec": server_argv()}, "services": [service], **changes}


# Requests


# Below those that the kernel takes for outgoing connections (from 32768 on, unless it is told otherwise), so that none
# comes to be on a port between its choice and its use; and below those of tests and of clouds' apps (from 20000 on).
PORTS = range(10_000, 20_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port that nobody listens on, another one each time; raises RuntimeError when there is none."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            if port not in _given:
                _given.add(port)
                return port
    raise RuntimeError(f"no port from {PORTS[0]} to {PORTS[-1]} is free")


def get(address: tuple[str, int], host: str = "localhost", timeout: float = 30.0) -> tuple[int, bytes]:
    """GET / on a connection of its own; returns the status and all that came. Raises OSError."""
    with socket.create_connection(address, timeout) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := link.recv(65536):
            answer += data
    words = answer.split(b" ", 2)
    return (int(words[1]) if len(words) > 2 and words[1].isdigit() else 0), answer


def timed_get(address: tuple[str, int], host: str) -> float:
    """Return the milliseconds of one GET, connecting included; raises RuntimeError unless it answers 200."""
    began = time.perf_counter()
    status, answer = get(address, host)
    took = (time.perf_counter() - began) * 1000
    if status != 200:
        raise RuntimeError(f"{host} at {address} answered {status}: {answer[:300]!r}")
    return took


def until_200(
    address: tuple[str, int], host: str = "localhost", *, timeout: float = 30.0, patience: float = 0.05
) -> None:
    """Ask again and again until the answer is 200; raises TimeoutError. `patience` is seconds for one try."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if get(address, host, patience)[0] == 200:
                return
        time.sleep(0.0005)
    raise TimeoutError(f"no 200 from {host} at {address} within {timeout} s")


# A cloud


@dataclass
class Cloud:
    """A running cloud, reached as a user's program would: the API by HTTP, apps through Envoy."""

    home: Path
    http_port: int
    api_port: int
    https_port: int
    _link: http.client.HTTPConnection | None = field(default=None, repr=False)
    _used: float = 0.0

    @property
    def edge(self) -> tuple[str, int]:
        """Where Envoy listens."""
        return "127.0.0.1", self.http_port

    def roost(self, *arguments: str | Path, timeout: float = 300.0) -> str:
        """Run `./roost ARGUMENTS` on this cloud and return what it printed; raises RuntimeError."""
        done = subprocess.run(
            [ROOST, *arguments], env={**os.environ, "ROOST_HOME": str(self.home)}, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"roost {arguments} exited with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def up(self) -> float:
        """Bring it up; returns the seconds it took."""
        began = time.perf_counter()
        self.roost(
            "up", "--home", self.home, "--http-port", str(self.http_port), "--https-port", str(self.https_port),
            "--api-port", str(self.api_port),
        )  # fmt: skip
        return time.perf_counter() - began

    def down(self) -> float:
        """Bring it down; returns the seconds it took."""
        self._link = None
        began = time.perf_counter()
        self.roost("down")
        return time.perf_counter() - began

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API below /v1 on one kept connection and return the JSON; raises RuntimeError."""
        token = (self.home / "keys" / "cli.token").read_text().strip()
        if self._link is None or time.monotonic() - self._used > 2:  # the API closes idle connections
            self._link = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=120)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        text = json.dumps(body).encode() if body is not None else b""
        try:
            self._link.request(method, f"/v1{path}", text, headers)
            answer = self._link.getresponse()
            data = answer.read()
            self._used = time.monotonic()
        except (OSError, http.client.HTTPException):
            self._link = None
            raise
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {data[:500]!r}")
        return json.loads(data) if data else None

    def operate(self, method: str, path: str, body: Any, timeout: float = 300.0) -> dict[str, Any]:
        """Start an operation and wait for its end; raises RuntimeError when it fails."""
        operation: dict[str, Any] = self.call(method, path, body)
        deadline = time.monotonic() + timeout
        while operation["state"] == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
            operation = self.call("GET", f"/operations/{operation['id']}")
        if operation["state"] != "succeeded":
            raise RuntimeError(f"the operation ended {operation['state']}: {operation['error']}")
        return operation

    def host(self, app: str) -> str:
        """Return the Host header of an app."""
        return f"{app}.localhost:{self.http_port}"

    def pids(self) -> tuple[int, int]:
        """Return the pids of roostd and of Envoy."""
        status = self.call("GET", "/status")
        return int(status["pid"]), int(status["edge"]["pid"])


@contextlib.contextmanager
def cloud() -> Iterator[Cloud]:
    """Give a cloud that is up and has the image, and destroy it afterwards."""
    with tempfile.TemporaryDirectory(prefix="roost-bench-", dir="/var/tmp") as directory:
        made = Cloud(Path(directory) / "home", free_port(), free_port(), free_port())
        try:
            made.up()
            made.operate("POST", "/images/pull", {"reference": IMAGE})
            yield made
        except BaseException:
            say(_last_errors(made.home / "log" / "roostd.log"))
            raise
        finally:
            if (made.home / "cloud.json").exists():
                made.roost("destroy-cloud", "--yes")


def _last_errors(log: Path) -> str:
    """Return the last lines of roostd's log that tell of trouble."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([line[:3000] for line in lines if '"info"' not in line][-5:])


# Figures


@dataclass
class Report:
    """What one benchmark found. `goals` are (what, value, limit, unit): met when value <= limit."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def series(self, what: str, values: list[float], unit: str = "ms") -> float:
        """Add the median and the 95th percentile of a series; returns the median."""
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        median = statistics.median(ordered)
        self.rows.append({"what": what, "median": median, "p95": p95, "n": len(ordered), "unit": unit})
        return median

    def goal(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Add a ratio or difference with the most it should be."""
        self.goals.append({"what": what, "value": value, "limit": limit, "unit": unit, "met": value <= limit})

    def text(self) -> str:
        """Return the table."""
        lines = [f"{self.name} ({os.cpu_count()} cores)"]
        for row in self.rows:
            figures = f"median {row['median']:>9.2f}  p95 {row['p95']:>9.2f} {row['unit']:<3} n={row['n']}"
            lines.append(f"  {row['what']:<58} {figures}")
        for goal in self.goals:
            word = "met" if goal["met"] else "MISSED"
            lines.append(
                f"  goal: {goal['what']:<52} {goal['value']:>9.2f} {goal['unit']:<3} (at most {goal['limit']:g}) {word}"
            )
        return "\n".join(lines)


def main(name: str, measure: Callable[[Report, bool], None], description: str | None) -> int:
    """Read the flags, measure, print the table, write the JSON. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works, not to quote")
    flags = parser.parse_args()
    # What it made is removed then too, as at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    report = Report(name)
    measure(report, flags.quick)
    print(report.text())
    for line in report.detail.get("notes", []):
        print(f"  {line}")
    if flags.json:
        flags.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"name": name, "cores": os.cpu_count(), "quick": flags.quick, "rows": report.rows}
        content |= {"goals": report.goals, "detail": report.detail}
        flags.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def say(text: str) -> None:
    """Tell what is under way, on stderr."""
    print(text, file=sys.stderr, flush=True)
