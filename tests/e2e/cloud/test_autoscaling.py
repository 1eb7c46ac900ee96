"""Autoscaling on a real cloud: up by requests at once and by a metric, down when a stream has ended, and why."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import WEB_AND_WORKER, fresh, program

SERVER = """
import http.server, os, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(os.environ["FLY_MACHINE_ID"].encode())
            self.wfile.flush()
            self.rfile.read(1)
            return
        body = os.environ["FLY_MACHINE_ID"].encode()
        if self.path == "/metrics":
            body = open("/depth").read().encode() if os.path.exists("/depth") else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass

http.server.ThreadingHTTPServer.request_queue_size = 256
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
TOML = (
    WEB_AND_WORKER
    + """
auto_stop_machines = "off"
[metrics]
port = 8080
processes = ["web"]
[[autoscale]]
processes = ["web"]
max = 3
concurrency = 2
down_after = "1s"
drain_timeout = "60s"
"""
)


@contextmanager
def stream(cloud: RunningCloud, app: str) -> Iterator[str]:
    """Hold a request open; gives the id of the machine that answers it."""
    with socket.create_connection(("127.0.0.1", cloud.http_port), timeout=30) as held:
        held.sendall(f"GET /stream HTTP/1.1\r\nHost: {app}.localhost\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < 14:
            got += held.recv(4096)
        yield got.partition(b"\r\n\r\n")[2].decode()


@pytest.fixture(scope="module")
def app(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = fresh("elastic")
    place = program(tmp_path_factory.mktemp("elastic") / "app", SERVER, toml=TOML.format(app=name))
    try:
        cloud.roost("launch", place, "--name", name, "--yes", timeout=400)
        yield name
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)


def of_group(cloud: RunningCloud, app: str, group: str) -> list[dict[str, Any]]:
    found = cloud.api("GET", f"/apps/{app}/machines").json()
    return [m for m in found if m["config"]["metadata"]["fly_process_group"] == group and m["state"] == "started"]


def decisions(cloud: RunningCloud, app: str) -> list[dict[str, Any]]:
    return list(cloud.api("GET", f"/apps/{app}/autoscale").json()["decisions"])


@pytest.mark.timeout(120)
def test_up_by_requests_and_down_when_a_stream_has_ended(cloud: RunningCloud, app: str) -> None:
    (first,) = of_group(cloud, app, "web")
    with ExitStack() as all_held:
        for _ in range(5):
            all_held.enter_context(stream(cloud, app))
        wait_until(lambda: len(of_group(cloud, app, "web")) == 3, "a machine for each two of five requests", 30)
        wait_until(lambda: not any(m["cordoned"] for m in of_group(cloud, app, "web")), "they get requests", 10)
        with ExitStack() as late:
            kept = first["id"]
            while kept == first["id"]:  # new machines get the new requests
                late.pop_all().close()
                kept = late.enter_context(stream(cloud, app))
            all_held.close()
            both = {first["id"], kept}
            wait_until(
                lambda: {m["id"] for m in of_group(cloud, app, "web")} == both, "the idle one of the two goes", 15
            )
            going = cloud.api("GET", f"/apps/{app}/autoscale").json()["groups"][0]
            assert going["held"] == "" or "when idle" in going["held"], going
            time.sleep(1)  # nothing to wait for: the stream's machine must still be there
            assert {m["id"] for m in of_group(cloud, app, "web")} == both, "a stream was cut off"
    wait_until(lambda: [m["id"] for m in of_group(cloud, app, "web")] == [first["id"]], "down to the deploy's own", 20)
    log = decisions(cloud, app)
    up = next(d for d in reversed(log) if d["action"] == "up")
    assert (up["machines"], up["wanted"], up["state"]) == (1, 3, "done") and up["seen"]["requests"] == 5
    assert "5 requests at once, 2 per machine: 3 machines" in up["why"] and "made " in up["done"]
    told = cloud.roost("autoscale", "explain", "-a", app).stdout
    assert "1 -> 3" in told and "removed" in told and told.startswith("web: 1 machine, 1 of them runs;")
    assert json.loads(cloud.roost("autoscale", "explain", "-a", app, "--json").stdout)["groups"][0]["group"] == "web"


@pytest.mark.timeout(120)
def test_up_and_down_by_a_metric(cloud: RunningCloud, app: str, tmp_path: Path) -> None:
    (web,) = of_group(cloud, app, "web")

    def depth(value: int) -> None:
        command = ["sh", "-c", f"echo 'queue_depth {value}' > /depth.new && mv /depth.new /depth"]
        done = cloud.api("POST", f"/apps/{app}/machines/{web['id']}/exec", json={"command": command})
        assert done.json()["exit_code"] == 0, done.text

    depth(250)
    policy = {"min": 1, "max": 5, "down_after": "1s", "metrics": [{"name": "queue_depth", "target": 100, "of": "web"}]}
    assert cloud.api("PUT", f"/apps/{app}/autoscale/worker", json=policy).status_code == 200
    wait_until(lambda: len(of_group(cloud, app, "worker")) == 3, "a worker for each 100", 60)
    depth(0)
    wait_until(lambda: len(of_group(cloud, app, "worker")) == 1, "back to one", 60)

    def down() -> dict[str, Any] | None:
        log = decisions(cloud, app)
        return next((d for d in log if (d["group"], d["action"], d["state"]) == ("worker", "down", "done")), None)

    told = wait_until(down, "it is written down", 5)
    assert told["seen"]["metrics"] == {"queue_depth (sum)": 0.0} and "removed " in told["done"]
    cloud.roost("autoscale", "off", "worker", "-a", app)
    assert "switched off" in cloud.roost("autoscale", "explain", "-a", app).stdout


@pytest.mark.timeout(180)
def test_a_new_policy_takes_nothing_away_by_what_was_read_before(cloud: RunningCloud, app: str) -> None:
    def scale(**policy: Any) -> None:
        answer = cloud.api("PUT", f"/apps/{app}/autoscale/web", json={"down_after": "0s", **policy})
        assert answer.status_code == 200, answer.text

    def both() -> list[dict[str, Any]]:
        found = of_group(cloud, app, "web")
        joined = not any(m["cordoned"] or m["config"]["metadata"].get("roost_autoscaled") == "joining" for m in found)
        return found if len(found) == 2 and joined else []

    for _ in range(8):  # at one moment or another between two readings of the edge
        scale(min=2, max=2, concurrency=1000)
        there = wait_until(both, "there are two", 30)
        cloud.roost("autoscale", "off", "web", "-a", app)
        (made,) = (m["id"] for m in there if m["config"]["metadata"].get("roost_autoscaled"))
        assert cloud.api("POST", f"/apps/{app}/machines/{made}/suspend").status_code == 200
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(stream(cloud, app))
            scale(min=1, max=2, concurrency=2)
            now = wait_until(both, "the load has both up", 30)
            cloud.roost("autoscale", "off", "web", "-a", app)  # before the load ends, for that would take one away
        assert {m["id"] for m in now} == {m["id"] for m in there}, decisions(cloud, app)
