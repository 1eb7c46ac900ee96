"""Volumes on a real cloud: data outlives machines and releases, copies are whole, a full one hurts nobody."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh, program, server

BASE = "roost/base:bookworm"
# Each number is durable before the next is begun.
COUNT = "i=0; while true; do echo $i >> /data/log; sync /data/log; i=$((i+1)); done"
KEEPER = """
import http.server, os, pathlib

LOG = pathlib.Path("/data/visits")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with LOG.open("a") as log:
            log.write("x")
            os.fsync(log.fileno())
        body = f"{TEXT} {{LOG.stat().st_size}}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
TOML = """
app = "{app}"

[http_service]
internal_port = 8080

[deploy]
wait_timeout = "20s"
strategy = "{strategy}"

[mounts]
source = "data"
destination = "/data"
initial_size = "2gb"
"""


def keeper(text: str) -> str:
    return KEEPER.replace("{TEXT}", text).replace("{{", "{").replace("}}", "}")


def call(cloud: RunningCloud, method: str, path: str, status: int = 200, **options: Any) -> Any:
    answer = cloud.api(method, path, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def run(cloud: RunningCloud, app: str, command: str, **mount: Any) -> str:
    config: dict[str, Any] = {"image": BASE, "init": {"exec": ["/bin/sh", "-c", command]}}
    config["stop_config"] = {"timeout": "200ms"}
    if mount:
        config["mounts"] = [{"path": "/data", **mount}]
    return str(call(cloud, "POST", f"/apps/{app}/machines", json={"config": config})["id"])


def sh(cloud: RunningCloud, app: str, machine: str, line: str) -> str:
    body = {"command": ["sh", "-c", line], "timeout": 100}
    done = call(cloud, "POST", f"/apps/{app}/machines/{machine}/exec", json=body)
    return str(done["stdout"] + done["stderr"])


def visits(cloud: RunningCloud, app: str, release: str, before: int) -> int:
    """Ask the app; returns how often it was asked since its volume was made."""
    answer = cloud.get(app)
    name, count = answer.text.split()
    assert (name, int(count) > before) == (release, True), answer.text
    return int(count)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split("\n")[:-1]]


@pytest.fixture
def app(cloud: RunningCloud) -> str:
    name = fresh("vol")
    call(cloud, "POST", "/apps", 201, json={"name": name})
    return name


@pytest.fixture
def volume(cloud: RunningCloud, app: str) -> str:
    return str(call(cloud, "POST", f"/apps/{app}/volumes", json={"name": "data"})["id"])


def test_a_volume_belongs_to_one_machine_and_outlives_it(cloud: RunningCloud, app: str, volume: str) -> None:
    path = f"/apps/{app}/volumes/{volume}"
    first = run(cloud, app, "sleep infinity", name="data")
    assert call(cloud, "GET", path)["attached_machine_id"] == first
    second = {"config": {"image": BASE, "mounts": [{"path": "/data", "volume": volume}]}}
    assert call(cloud, "POST", f"/apps/{app}/machines", 412, json=second)["status"] == "failed_precondition"
    assert call(cloud, "DELETE", path, 412)["status"] == "failed_precondition"
    sh(cloud, app, first, "echo kept > /data/file; echo lost > /root/file")
    for _ in range(2):
        call(cloud, "POST", f"/apps/{app}/machines/{first}/stop")
        call(cloud, "POST", f"/apps/{app}/machines/{first}/start")
    assert sh(cloud, app, first, "cat /data/file; ls /root") == "kept\n"
    call(cloud, "DELETE", f"/apps/{app}/machines/{first}?force=true")
    assert call(cloud, "GET", path)["attached_machine_id"] is None
    third = run(cloud, app, "sleep infinity", volume=volume)
    assert sh(cloud, app, third, "cat /data/file") == "kept\n"
    call(cloud, "DELETE", f"/apps/{app}/machines/{third}?force=true")
    call(cloud, "DELETE", path)
    call(cloud, "GET", path, 404)
    call(cloud, "POST", f"/apps/{app}/machines", 404, json=second)


def test_a_snapshot_under_load_is_a_prefix_in_a_new_machine(cloud: RunningCloud, app: str, volume: str) -> None:
    path = f"/apps/{app}/volumes"
    writer = run(cloud, app, COUNT, volume=volume)
    wait_until(lambda: len(numbers(sh(cloud, app, writer, "cat /data/log"))) > 50, "it writes")
    seen = len(numbers(sh(cloud, app, writer, "cat /data/log")))
    taken = call(cloud, "POST", f"{path}/{volume}/snapshots")
    assert taken["size"] > 0 and taken["status"] == "created"
    began = time.monotonic()
    forked = call(cloud, "POST", path, json={"name": "copy", "source_volume_id": volume})
    assert time.monotonic() - began < 1.0
    after = len(numbers(sh(cloud, app, writer, "cat /data/log")))
    wait_until(lambda: len(numbers(sh(cloud, app, writer, "cat /data/log"))) > after, "it writes on")
    restored = call(cloud, "POST", path, json={"name": "old", "snapshot_id": taken["id"]})
    for copy in (restored, forked):
        reader = run(cloud, app, "sleep infinity", volume=copy["id"])
        found = numbers(sh(cloud, app, reader, "cat /data/log"))
        assert found == list(range(len(found)))
        assert len(found) >= seen
    assert [s["id"] for s in call(cloud, "GET", f"{path}/{volume}/snapshots")] == [taken["id"]]
    call(cloud, "DELETE", f"/apps/{app}/machines/{writer}?force=true")
    call(cloud, "DELETE", f"{path}/{volume}")
    again = call(cloud, "POST", path, json={"name": "again", "snapshot_id": taken["id"]})  # outlives its volume
    assert again["size_gb"] == 1


def test_a_full_volume_says_so_to_its_app_alone(cloud: RunningCloud, app: str, volume: str) -> None:
    full = run(cloud, app, "sleep infinity", volume=volume)
    other = run(cloud, app, "sleep infinity")
    said = sh(cloud, app, full, "dd if=/dev/zero of=/data/big bs=1M count=2000 oflag=direct 2>&1")
    assert "No space left on device" in said
    assert sh(cloud, app, other, "echo fine > /root/x; cat /root/x") == "fine\n"
    assert sh(cloud, app, full, "echo fine > /root/x; cat /root/x") == "fine\n"
    answer = call(cloud, "PUT", f"/apps/{app}/volumes/{volume}/extend", json={"size_gb": 2})
    assert answer["volume"]["size_gb"] == 2
    if answer["needs_restart"]:
        call(cloud, "POST", f"/apps/{app}/machines/{full}/restart")
    assert sh(cloud, app, full, "echo more > /data/more; sync; cat /data/more") == "more\n"
    assert int(sh(cloud, app, full, "stat -c %s /data/big")) > 900_000_000
    shown = call(cloud, "GET", f"/apps/{app}/volumes/{volume}")
    assert shown["bytes_total"] > 1.8 * (1 << 30)


def test_deploys_keep_the_volume(cloud: RunningCloud, tmp_path: Path) -> None:
    app = fresh("keeper")
    toml = TOML.format(app=app, strategy="rolling")
    place = program(tmp_path / "app", keeper("one"), toml=toml)
    cloud.roost("launch", place, "--name", app, "--yes")
    count = visits(cloud, app, "one", 0)
    (volume,) = cloud.json("volumes", "list", "-a", app)
    assert (volume["name"], volume["size_gb"]) == ("data", 2)
    (machine,) = cloud.machines(app)
    assert volume["attached_machine_id"] == machine["id"]

    program(place, keeper("two"), toml=toml)
    said = cloud.roost("deploy", place)
    assert "has a volume" in said.stdout + said.stderr
    count = visits(cloud, app, "two", count)
    assert [m["id"] for m in cloud.machines(app)] == [machine["id"]]

    program(place, "raise SystemExit('broken')\n", toml=toml)
    failed = cloud.roost("deploy", place, check=False)
    assert failed.returncode == 5, failed.stdout + failed.stderr
    count = visits(cloud, app, "two", count)  # the old release, on the same volume

    cloud.roost("machine", "suspend", machine["id"], "-a", app)
    count = visits(cloud, app, "two", count)
    cloud.roost("machine", "stop", machine["id"], "-a", app)
    count = visits(cloud, app, "two", count)

    program(place, keeper("three"), toml=TOML.format(app=app, strategy="canary"))
    refused = cloud.roost("deploy", place, check=False)
    assert refused.returncode == 2 and "canary" in refused.stderr

    program(place, server("bare"), toml=toml.split("[mounts]")[0])
    cloud.roost("deploy", place)
    assert cloud.get(app).text == "bare"
    (volume,) = cloud.json("volumes", "list", "-a", app)  # it is kept, with nobody on it
    assert volume["attached_machine_id"] is None
    program(place, keeper("four"), toml=toml)
    cloud.roost("deploy", place)
    visits(cloud, app, "four", count)
    assert len(cloud.json("volumes", "list", "-a", app)) == 1
    assert cloud.api("DELETE", f"/apps/{app}").status_code == 412
    cloud.roost("apps", "destroy", app, "--yes")


def test_the_app_goes_with_its_volumes_and_snapshots(cloud: RunningCloud, app: str, volume: str) -> None:
    call(cloud, "POST", f"/apps/{app}/volumes/{volume}/snapshots")
    assert cloud.api("DELETE", f"/apps/{app}").status_code == 412
    assert cloud.api("DELETE", f"/apps/{app}?force=true").status_code == 202
    assert not list((cloud.home / "pool" / "volumes").glob(f"{volume}*"))


def test_a_cloud_taken_down_and_up_has_its_volumes(cloud: RunningCloud, app: str, volume: str) -> None:
    machine = run(cloud, app, COUNT, volume=volume)
    wait_until(lambda: len(numbers(sh(cloud, app, machine, "cat /data/log"))) > 20, "it writes")
    seen = len(numbers(sh(cloud, app, machine, "cat /data/log")))
    cloud.roost("down")
    cloud.roost("up", "--home", cloud.home)
    wait_until(lambda: cloud.machines(app)[0]["state"] == "started", "it is started again")
    assert len(numbers(sh(cloud, app, machine, "cat /data/log"))) >= seen
