"""Machines with several containers: through the API and the edge, with kills of roostd in between."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

IMAGE = "roost/python:bookworm"
SERVE = "exec python3 -m http.server --bind %s %d -d %s"


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "exec": ["sh", "-c", script], "stop": {"signal": "SIGKILL"}} | more


def several() -> dict[str, Any]:
    """A page that is made first, a sidecar on loopback that must be healthy, the app, and one that fails when told."""
    shared = [{"name": "pages", "path": "/pages"}]
    side = {"http": {"port": 9000, "path": "/side"}, "interval": "1s", "grace_period": "20s"}
    return {
        "env": {"WORD": "made"},
        "containers": [
            container("prepare", "echo $WORD > /pages/index.html; echo side > /pages/side", mounts=shared),
            container(
                "side",
                SERVE % ("127.0.0.1", 9000, "/pages"),
                mounts=shared,
                healthchecks=[side],
                depends_on=[{"name": "prepare", "condition": "exited_successfully"}],
            ),
            container(
                "web",
                SERVE % ("0.0.0.0", 8080, "/pages"),
                mounts=[*shared, {"name": "tools", "path": "/tools"}],
                depends_on=[{"name": "side", "condition": "healthy"}],
            ),
            container(
                "flaky",
                "echo began; until [ -e /pages/fail ]; do sleep 0.05; done; rm /pages/fail; exit 4",
                mounts=shared,
            ),
        ],
        "volumes": [
            {"name": "pages", "temp_dir": {"storage_type": "memory", "size_mb": 2}},
            {"name": "tools", "image": "roost/base:bookworm"},
        ],
        "services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}],
    }


def test_files_and_roots_that_are_kept(cloud: RunningCloud, app: str) -> None:
    script = "cat /etc/one /etc/two; echo $(cat /root/n 2>/dev/null)x > /root/n; cat /root/n; exec sleep 1000"
    secret = [{"guest_path": "/etc/two", "secret_name": "TWO"}]
    config = {
        "guest": {"persist_rootfs": "always"},
        "files": [{"guest_path": "/etc/one", "raw_value": "MQ=="}, {"guest_path": "/etc/two", "raw_value": "Mg=="}],
        "containers": [container("plain", script), container("own", script, files=secret)],
    }
    cloud.api("POST", f"/apps/{app}/secrets/TWO", json={"value": "aHVzaA=="})
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
    assert made.status_code == 200, made.text
    machine = f"/apps/{app}/machines/{made.json()['id']}"

    def said(name: str) -> str:
        ask = {"command": ["cat", "/etc/one", "/etc/two", "/root/n"], "container": name}
        return str(cloud.api("POST", f"{machine}/exec", json=ask).json().get("stdout"))

    wait_until(lambda: said("plain") == "12x\n" and said("own") == "1hushx\n", "both have their files")
    for verb in ("stop", "start"):
        assert cloud.api("POST", f"{machine}/{verb}").status_code == 200
    wait_until(lambda: said("plain") == "12xx\n" and said("own") == "1hushxx\n", "what they wrote is kept")


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("several")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


def states(cloud: RunningCloud, place: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in cloud.api("GET", place).json()["containers"]}


def run(cloud: RunningCloud, place: str, name: str, script: str) -> str:
    body = {"command": ["sh", "-c", script], "container": name}
    done = cloud.api("POST", f"{place}/exec", json=body)
    assert done.status_code == 200, done.text
    return (done.json()["stdout"] + done.json()["stderr"]).strip()


def create(cloud: RunningCloud, app: str, config: dict[str, Any]) -> str:
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
    assert made.status_code == 200, made.text
    return f"/apps/{app}/machines/{made.json()['id']}"


def exits(cloud: RunningCloud, place: str) -> list[tuple[str, int]]:
    events = cloud.api("GET", f"{place}/events?limit=50").json()
    told = (e["request"] for e in reversed(events) if e["type"] == "exit" and "container" in e["request"])
    return [(detail["container"], detail["exit_event"]["exit_code"]) for detail in told]


def pids(cloud: RunningCloud, place: str) -> dict[str, float]:
    return {one["name"]: one["started_at"] for one in cloud.api("GET", place).json()["containers"]}


def kill_roostd(cloud: RunningCloud) -> None:
    before = cloud.roostd_pid
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        try:
            return cloud.roostd_pid != before
        except Exception:
            return False

    wait_until(back, "roostd is back")


def test_an_app_with_its_helpers(cloud: RunningCloud, app: str) -> None:
    place = create(cloud, app, several())
    assert cloud.api("GET", f"{place}/wait?timeout=30").status_code == 200
    assert states(cloud, place) == {"prepare": "stopped", "side": "started", "web": "started", "flaky": "started"}
    assert cloud.get(app).text == "made\n"
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9000/side').read().decode())"
    assert run(cloud, place, "web", f'python3 -c "{fetch}"') == "side"
    assert "No space left" in run(cloud, place, "web", "head -c 3M /dev/zero > /pages/big; rm /pages/big")
    assert run(cloud, place, "web", "cat /tools/etc/debian_version; touch /tools/x").startswith("12.")
    before = pids(cloud, place)

    # one that fails starts again, the others run on
    run(cloud, place, "web", "touch /pages/fail")
    wait_until(lambda: ("flaky", 4) in exits(cloud, place), "the end is told")
    wait_until(lambda: states(cloud, place)["flaky"] == "started", "it runs again")
    after = pids(cloud, place)
    assert {name for name in before if before[name] != after[name]} == {"flaky"}
    assert cloud.api("GET", place).json()["state"] == "started"
    lines = cloud.roost("logs", "-a", app).stdout
    assert lines.count("/flaky began") == 2, lines

    # kill -9 of roostd: all run on, and the next end is seen
    kill_roostd(cloud)
    run(cloud, place, "web", "touch /pages/fail")
    wait_until(lambda: exits(cloud, place).count(("flaky", 4)) == 2, "the second end is told")
    assert pids(cloud, place) | {"flaky": 0} == after | {"flaky": 0}

    # suspended and woken together, with roostd killed meanwhile
    assert cloud.api("POST", f"{place}/suspend").status_code == 200
    kill_roostd(cloud)
    assert cloud.get(app).text == "made\n"
    assert cloud.api("GET", place).json()["state"] == "started"
    assert pids(cloud, place) | {"flaky": 0} == after | {"flaky": 0}

    # the command line reaches each
    done = cloud.roost("machine", "exec", place.split("/")[-1], "-a", app, "--container", "side", "--", "hostname")
    assert done.stdout.strip() == place.split("/")[-1]
    refused = cloud.api("POST", f"{place}/exec", json={"command": ["true"], "container": "nobody"})
    assert refused.status_code == 404

    # stopped and started together: a fresh start, from the beginning
    assert cloud.api("POST", f"{place}/stop").status_code == 200
    assert set(states(cloud, place).values()) == {"stopped"}
    assert cloud.api("POST", f"{place}/start").status_code == 200
    assert cloud.api("GET", f"{place}/wait?timeout=30").status_code == 200
    assert exits(cloud, place).count(("prepare", 0)) == 2
    assert cloud.api("DELETE", f"{place}?force=true").status_code == 200


def test_a_machine_ends_with_its_last_container(cloud: RunningCloud, app: str) -> None:
    config = {"containers": [container("a", "exit 0"), container("b", "sleep 0.3; exit 0")]}
    place = create(cloud, app, config)
    assert cloud.api("GET", f"{place}/wait?state=stopped&timeout=20").status_code == 200
    assert sorted(exits(cloud, place)) == [("a", 0), ("b", 0)]


def test_what_a_failed_container_was_needed_for_fails_the_machine(cloud: RunningCloud, app: str) -> None:
    needs = [{"name": "first", "condition": "exited_successfully"}]
    first = container("first", "exit 7", restart={"policy": "no"})
    place = create(cloud, app, {"containers": [first, container("second", "sleep 100", depends_on=needs)]})
    assert cloud.api("GET", f"{place}/wait?state=failed&timeout=20").status_code == 200
    machine = cloud.api("GET", place).json()
    assert machine["last_exit"]["exit_code"] == 7
    assert machine["events"][0]["request"]["reason"] == "container first exited with code 7"


def test_an_unhealthy_container_is_ended_and_starts_again(cloud: RunningCloud, app: str) -> None:
    check = {
        "exec": {"command": ["test", "-e", "/tmp/well"]},
        "interval": "0.5s",
        "failure_threshold": 2,
        "kind": "liveness",
        "unhealthy": "stop",
    }
    well = container("sick", "trap 'exit 0' TERM; touch /tmp/well; while :; do sleep 0.05; done", healthchecks=[check])
    well["stop"] = {"signal": "SIGTERM"}
    place = create(cloud, app, {"containers": [well]})
    ok = lambda: [c["status"] for c in cloud.api("GET", place).json()["checks"]] == ["passing"]  # noqa: E731
    wait_until(ok, "it is healthy")
    run(cloud, place, "sick", "rm /tmp/well")
    wait_until(lambda: exits(cloud, place), "it was ended")
    wait_until(ok, "it is healthy again")


CONFIG = """
app = "{app}"
container = "web"
machine_config = "helpers.json"

[build]
image = "roost/python:bookworm"

[http_service]
internal_port = 8080

[experimental]
exec = ["sh", "-c", "exec python3 -m http.server 8080 -d /pages"]
"""


def test_an_app_is_deployed_with_its_helpers(cloud: RunningCloud, app: str, tmp_path: Path) -> None:
    shared = [{"name": "pages", "path": "/pages"}]
    needs = [{"name": "prepare", "condition": "exited_successfully"}]
    helpers = {
        "containers": [
            container("prepare", "echo deployed > /pages/index.html", mounts=shared),
            {"name": "web", "mounts": shared, "depends_on": needs, "stop": {"signal": "SIGKILL"}},
        ],
        "volumes": [{"name": "pages", "temp_dir": {"storage_type": "disk", "size_mb": 4}}],
    }
    (tmp_path / "roost.toml").write_text(CONFIG.format(app=app))
    (tmp_path / "helpers.json").write_text(json.dumps(helpers))
    cloud.roost("deploy", tmp_path)
    assert cloud.get(app).text == "deployed\n"
    (machine,) = cloud.machines(app)
    assert states(cloud, f"/apps/{app}/machines/{machine['id']}") == {"prepare": "stopped", "web": "started"}


def test_processes_are_containers_of_the_machines_image(cloud: RunningCloud, app: str, tmp_path: Path) -> None:
    programs = [{"exec": ["sh", "-c", f"echo {word} $N; exec sleep 1000"], "env": {"N": "1"}} for word in ("x", "y")]
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"image": IMAGE, "processes": programs, "stop_config": {"signal": "SIGKILL"}}))
    made = cloud.json("machine", "run", "--machine-config", file, "-a", app)
    place = f"/apps/{app}/machines/{made['id']}"
    assert cloud.api("GET", f"{place}/wait?timeout=20").status_code == 200
    assert states(cloud, place) == {"process-0": "started", "process-1": "started"}
    shown = cloud.roost("machine", "status", made["id"], "-a", app).stdout
    assert re.search(r"^process-1 +started +0 +roost/python", shown, re.MULTILINE), shown
    wait_until(lambda: "/process-1 y 1" in cloud.roost("logs", "-a", app).stdout, "its log")
