"""Replays, steering headers and flycast on a real cloud: requests wake whom they lead to, and stay in their org."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until

SERVE = """
import http.server, json, os, socket

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        replayed = "fly-replay-src" in self.headers or "fly-replay-failed" in self.headers
        told = {"machine": os.environ["FLY_MACHINE_ID"], "path": self.path}
        told |= {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps(told).encode()
        self.send_response(200)
        if self.path.startswith("/replay/") and not replayed:
            self.send_header("fly-replay", self.path.removeprefix("/replay/"))
            body = b""
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

Server(("::", 8080), Handler).serve_forever()
"""
FETCH = """
import json, sys, urllib.error, urllib.request
url, host = sys.argv[1:]
asked = urllib.request.Request(url, headers={"Host": host} if host else {})
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=20) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""


def make(cloud: RunningCloud, app: str, **service: Any) -> dict[str, Any]:
    """Make a machine that serves, once it listens."""
    ports = [{"port": 80, "handlers": ["http"]}]
    config = {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", SERVE]},
        "stop_config": {"signal": "SIGKILL"},
        "services": [{"internal_port": 8080, "protocol": "tcp", "ports": ports} | service],
    }
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
    assert made.status_code == 200, made.text
    return dict(made.json())


def stop(cloud: RunningCloud, app: str, machine: dict[str, Any]) -> None:
    path = f"/apps/{app}/machines/{machine['id']}"
    assert cloud.api("POST", f"{path}/stop", json={}).status_code == 200
    assert cloud.api("GET", f"{path}/wait?state=stopped&timeout=30").status_code == 200


def fetch(cloud: RunningCloud, app: str, machine: dict[str, Any], url: str, host: str = "") -> tuple[int, str]:
    """Fetch a URL from inside a machine."""
    body = {"command": ["python3", "-c", FETCH, url, host], "timeout": 40}
    done = cloud.api("POST", f"/apps/{app}/machines/{machine['id']}/exec", json=body)
    assert done.status_code == 200, done.text
    status, text = json.loads(done.json()["stdout"])
    return int(status), str(text)


class Apps:
    """`front` and `back` share a network; `other` has its own; `stranger` is another org's."""

    def __init__(self, cloud: RunningCloud, mark: str) -> None:
        self.front, self.back, self.other, self.stranger = (
            f"{name}-{mark}" for name in ("front", "back", "other", "stranger")
        )
        for app in (self.front, self.back, self.other, self.stranger):
            org = f"org-{mark}" if app == self.stranger else "personal"
            network = {"network": f"apart-{mark}"} if app == self.other else {}
            made = cloud.api("POST", "/apps", json={"app_name": app, "org_slug": org} | network)
            assert made.status_code == 201, made.text
        self.first, self.second = make(cloud, self.front), make(cloud, self.front)
        self.behind = make(cloud, self.back)
        self.apart, self.strange = make(cloud, self.other), make(cloud, self.stranger)


@pytest.fixture(scope="module")
def apps(cloud: RunningCloud) -> Iterator[Apps]:
    mark = uuid.uuid4().hex[:6]
    try:
        yield Apps(cloud, mark)
    finally:
        for name in ("front", "back", "other", "stranger"):
            cloud.api("DELETE", f"/apps/{name}-{mark}?force=true")
        cloud.api("DELETE", f"/orgs/org-{mark}")


def get(cloud: RunningCloud, app: str, path: str = "/", **headers: str) -> httpx2.Response:
    return cloud.get(app, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_replays_and_headers_lead_to_machines_and_wake_them(cloud: RunningCloud, apps: Apps) -> None:
    wait_until(lambda: get(cloud, apps.front).status_code == 200, "front serves")
    stop(cloud, apps.front, apps.second)
    answer = get(cloud, apps.front, f"/replay/instance={apps.second['id']};state=s", fly_replay_src="forged")
    told = answer.json()
    assert (answer.status_code, told["machine"]) == (200, apps.second["id"])
    assert told["fly-replay-src"].startswith(f"instance={apps.first['id']};region=local;t=")
    assert told["fly-replay-src"].endswith(";state=s")

    stop(cloud, apps.back, apps.behind)
    assert get(cloud, apps.front, f"/replay/app={apps.back}").json()["machine"] == apps.behind["id"]
    refused = get(cloud, apps.front, f"/replay/app={apps.stranger}")
    assert (refused.status_code, refused.headers["fly-error"]) == (403, "PA05")
    assert get(cloud, apps.front, "/replay/app=nothing-here").headers["fly-error"] == "PA04"
    back = get(cloud, apps.front, f"/replay/app={apps.stranger};fallback=prefer_self").json()
    assert back["machine"] in (apps.first["id"], apps.second["id"])
    assert "reason=no_candidate" in back["fly-replay-failed"]

    for machine in (apps.first, apps.second):
        assert get(cloud, apps.front, fly_force_instance_id=machine["id"]).json()["machine"] == machine["id"]
    missing = get(cloud, apps.front, fly_force_instance_id="ffffffffffffff")
    assert (missing.status_code, missing.headers["fly-error"]) == (404, "PR02")
    told = get(cloud, apps.front, fly_prefer_instance_id="ffffffffffffff").json()
    assert told["fly-preferred-instance-unavailable"] == "ffffffffffffff"


def test_flycast_is_for_the_network_alone(cloud: RunningCloud, apps: Apps) -> None:
    url = f"http://{apps.back}.flycast/x"
    assert fetch(cloud, apps.front, apps.first, url)[0] == 0  # it has no address yet
    made = cloud.api("POST", f"/apps/{apps.back}/ip_assignments", json={"type": "private_v6"})
    assert made.status_code == 200, made.text
    address = str(made.json()["ip"])
    assert made.json()["shared"] is False

    status, text = fetch(cloud, apps.front, apps.first, url)
    assert (status, json.loads(text)["machine"]) == (200, apps.behind["id"])
    assert json.loads(text)["fly-client-ip"] in (apps.first["private_ipv4"], apps.first["private_ip"])
    stop(cloud, apps.back, apps.behind)  # a request from inside wakes it, too
    status, text = fetch(cloud, apps.front, apps.first, url)
    assert (status, json.loads(text)["machine"]) == (200, apps.behind["id"])
    assert json.loads(text)["host"] == f"{apps.back}.flycast"
    assert "roost-flycast" not in text
    status, text = fetch(cloud, apps.front, apps.first, f"http://{apps.back}.flycast/replay/app={apps.front}")
    assert (status, json.loads(text)["path"]) == (200, f"/replay/app={apps.front}")
    assert "roost-flycast" not in text  # by which the edge found the app; nor is it in what comes by way of a wake

    for host in ("", f"{apps.stranger}.localhost", f"{apps.other}.flycast"):  # the address decides, not the Host
        status, text = fetch(cloud, apps.front, apps.first, f"http://[{address}]/", host)
        assert (status, json.loads(text)["machine"]) == (200, apps.behind["id"])
    for app, machine in ((apps.other, apps.apart), (apps.stranger, apps.strange)):
        assert fetch(cloud, app, machine, url)[0] == 0
        assert fetch(cloud, app, machine, f"http://[{address}]/", f"{apps.back}.flycast")[0] == 0
    gateway = ".".join([*apps.first["private_ipv4"].split(".")[:2], "0", "4"])
    assert fetch(cloud, apps.front, apps.first, f"http://{gateway}:10080/", f"{apps.back}.localhost")[0] == 0

    assert cloud.api("DELETE", f"/apps/{apps.back}/ip_assignments/{address}").status_code == 204
    assert fetch(cloud, apps.front, apps.first, f"http://[{address}]/")[0] == 0
