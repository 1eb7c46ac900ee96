"""Who broke it: an app that does wrong things, and what its page, `roost logs --http` and `roost status` say of it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.test_sleep_and_wake import config, create

NAUGHTY = """
import http.server, os, socket, struct, time
healthy = True
arrived = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, text):
        self.send_response(status); self.send_header("Content-Length", str(len(text))); self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        global healthy, arrived
        path = self.path.partition("?")[0]
        arrived += path != "/health" and path != "/count"
        if path == "/health": self.answer(200 if healthy else 500, "")
        elif path == "/sick": healthy = False; self.answer(200, "")
        elif path == "/well": healthy = True; self.answer(200, "")
        elif path == "/own": self.answer(503, "mine")
        elif path == "/slow": time.sleep(0.3); self.answer(200, "")
        elif path == "/count": self.answer(200, str(arrived))
        elif path == "/half":
            self.send_response(200); self.send_header("Content-Length", "100"); self.end_headers()
            self.wfile.write(b"abc"); self.close_connection = True
        else: self.answer(200, "hello")
    def do_POST(self):
        global arrived
        arrived += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close(); self.close_connection = True
        elif self.path == "/oom": hog = bytearray(os.urandom(1 << 20)) * 4096
        else: self.answer(200, "")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
CHECK = {"type": "http", "port": 8080, "path": "/health", "interval": "1s", "timeout": "1s", "grace_period": "5s"}


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = f"naughty-{uuid.uuid4().hex[:8]}"
    cloud.api("POST", "/apps", json={"app_name": name, "org_slug": "personal"})
    yield name
    cloud.api("DELETE", f"/apps/{name}?force=true")


def post(cloud: RunningCloud, app: str, path: str) -> httpx2.Response:
    host = {"Host": f"{app}.localhost:{cloud.http_port}"}
    url = f"http://127.0.0.1:{cloud.http_port}{path}"
    return httpx2.post(url, headers=host, content=b"hi", timeout=60, trust_env=False)


def requests(cloud: RunningCloud, app: str, **wanted: Any) -> list[dict[str, Any]]:
    answer = cloud.api("GET", f"/apps/{app}/requests", params=wanted)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def logged(cloud: RunningCloud, app: str, path: str) -> dict[str, Any]:
    found = wait_until(lambda: requests(cloud, app, path=path), f"{path} is in the log", timeout=10)
    return dict(found[-1])


def test_page_log_and_status_say_the_same(cloud: RunningCloud, app: str) -> None:
    machine = config(code=NAUGHTY)
    machine["guest"] = {"cpus": 1, "memory_mb": 128}
    machine["restart"] = {"policy": "no"}
    made = create(cloud, app, machine).json()
    wait_until(lambda: cloud.get(app).status_code == 200, "the app answers")

    slow = cloud.get(app, "/slow?token=s3cret") and logged(cloud, app, "/slow")
    assert (slow["status"], slow["machine"], slow["error"]) == (200, made["id"], "")
    assert slow["path"] == "/slow?token=*"
    assert slow["latency_ms"]["app"] > 290 > 100 > slow["latency_ms"]["queue"] + slow["latency_ms"]["connect"]

    own = cloud.get(app, "/own")
    assert (own.status_code, own.text, "roost-error" in own.headers) == (503, "mine", False), "never rewritten"
    assert logged(cloud, app, "/own")["error"] == "app_answered_5xx"

    before = int(cloud.get(app, "/count").text)
    cut = post(cloud, app, "/reset")
    assert (cut.status_code, cut.headers["roost-error"]) == (502, "app_closed_connection")
    assert (cut.headers["roost-fault"], cut.headers["fly-error"]) == ("app", "PU02")
    assert logged(cloud, app, "/reset")["error"] == "app_closed_connection"
    assert int(cloud.get(app, "/count").text) == before + 1, "it arrived once"

    with pytest.raises(httpx2.RemoteProtocolError):
        cloud.get(app, "/half")
    assert logged(cloud, app, "/half")["error"] == "app_broke_off"

    assert post(cloud, app, "/oom").headers["roost-error"] == "app_closed_connection"
    wait_until(lambda: cloud.machines(app)[0]["state"] not in ("started", "stopping"), "it was killed")
    refused = cloud.get(app, "/after")
    if refused.status_code != 200:  # a request may start it again
        assert refused.headers["roost-error"] in ("app_out_of_memory", "stopped")

    text = cloud.roost("logs", "-a", app, "--http", "--errors").stdout
    assert "app: app_closed_connection: The app closed the connection before it had answered." in text
    assert "s3cret" not in cloud.roost("logs", "-a", app, "--http").stdout
    assert [line["status"] for line in requests(cloud, app, status="5xx", path="/own")] == [503]
    assert all(line["latency_ms"]["total"] >= 290 for line in requests(cloud, app, slow=290, path="/slow"))

    status = cloud.roost("status", "-a", app).stdout
    assert re.search(r"^2 x app_closed_connection \(by the app\): The app closed", status, re.MULTILINE), status
    assert "p99" in status.lower()
    metrics = cloud.api("GET", "/../metrics").text
    assert f'roost_app_errors_total{{app="{app}",error="app_broke_off",fault="app"}} 1.0' in metrics


def test_the_log_outlives_roostd_and_goes_with_the_app(cloud: RunningCloud, app: str) -> None:
    create(cloud, app, config(code=NAUGHTY))
    wait_until(lambda: cloud.get(app).status_code == 200, "the app answers")
    cloud.get(app, "/before")
    before = logged(cloud, app, "/before")
    old = cloud.roostd_pid
    os.kill(old, signal.SIGKILL)
    cloud.roost("up", "--home", cloud.home)
    assert cloud.roostd_pid != old
    assert logged(cloud, app, "/before") == before
    cloud.get(app, "/after")
    found = wait_until(lambda: requests(cloud, app, after=before["cursor"], path="/after"), "it goes on")
    assert [line["path"] for line in found] == ["/after"]
    cloud.api("DELETE", f"/apps/{app}?force=true")
    assert not (cloud.home / "log" / "requests" / app).exists()
    cloud.api("POST", "/apps", json={"app_name": app, "org_slug": "personal"})
    assert requests(cloud, app) == [], "the next owner of a name reads nothing of the one before"


def test_a_machine_that_fails_its_check_is_out_within_an_interval_and_back(cloud: RunningCloud, app: str) -> None:
    machine = config(code=NAUGHTY, autostop="off")
    machine["services"][0]["checks"] = [CHECK]
    ids = {create(cloud, app, machine).json()["id"] for _ in range(2)}

    def served_by(times: int = 8) -> set[str]:
        marks = {f"/mark-{uuid.uuid4().hex[:6]}" for _ in range(times)}
        assert {cloud.get(app, mark).status_code for mark in marks} == {200}
        return {logged(cloud, app, mark)["machine"] for mark in marks}

    wait_until(lambda: served_by() == ids, "both serve", timeout=30)
    cloud.get(app, "/sick")
    sick = logged(cloud, app, "/sick")["machine"]
    began = time.monotonic()

    def critical() -> bool:
        told = cloud.api("GET", f"/apps/{app}/machines/{sick}").json()
        return any(check["status"] == "critical" for check in told["checks"])

    wait_until(critical, "its check is critical", timeout=10)
    assert time.monotonic() - began < 1.0 + 0.5 + 1.0, "an interval, a second look, and a busy host's second"
    assert served_by(4) == ids - {sick}
    address = next(m["private_ip"] for m in cloud.machines(app) if m["id"] == sick)
    assert address
    cloud.api("POST", f"/apps/{app}/machines/{sick}/exec", json={"command": [
        "python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/well')"
    ]})  # fmt: skip
    wait_until(lambda: served_by(4) == ids, "it is back", timeout=15)
