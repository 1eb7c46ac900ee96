"""Keys of a machine's configuration that have an effect on the server, on machines that run."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

SERVE = "mkdir -p /tmp/w; echo here > /tmp/w/index.html; exec python3 -m http.server 8080 -d /tmp/w"


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("config")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


def make(cloud: RunningCloud, app: str, **keys: Any) -> str:
    config = {"image": "roost/python:bookworm", "init": {"exec": ["sh", "-c", SERVE]}} | keys
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config | {"stop_config": {"signal": "SIGKILL"}}})
    assert made.status_code == 200, made.text
    return f"/apps/{app}/machines/{made.json()['id']}"


def run(cloud: RunningCloud, machine: str, script: str) -> str:
    done = cloud.api("POST", f"{machine}/exec", json={"command": ["sh", "-c", script]}).json()
    assert done["exit_code"] == 0, done
    return str(done["stdout"]).strip()


def test_files_a_kept_root_memory_and_kinds_of_checks(cloud: RunningCloud, app: str) -> None:
    raw, secret = base64.b64encode(b"plain").decode(), base64.b64encode(b"hidden").decode()
    keys: dict[str, Any] = {
        "guest": {"memory_mb": 128, "max_memory_mb": 256, "persist_rootfs": "always"},
        "files": [
            {"guest_path": "/srv/a.conf", "raw_value": raw, "mode": 0o600},
            {"guest_path": "/run/key", "secret_name": "KEY", "mode": "0400"},
        ],
        "services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}],
        "checks": {"told": {"port": 9, "kind": "informational", "interval": "1s", "grace_period": "0s"}},
    }
    refused = cloud.api("POST", f"/apps/{app}/machines", json={"config": {"image": "roost/python:bookworm"} | keys})
    assert refused.status_code == 400 and "config.files[1].secret_name" in refused.json()["error"], refused.text
    cloud.api("POST", f"/apps/{app}/secrets/KEY", json={"value": secret})
    machine = make(cloud, app, **keys)
    assert run(cloud, machine, "cat /srv/a.conf /run/key; stat -c %a /srv/a.conf /run/key") == "plainhidden600\n400"
    wait_until(lambda: cloud.api("GET", machine).json()["checks"][0]["status"] == "critical", "the check fails")
    assert cloud.get(app).text.strip() == "here", "an informational check steers nothing"
    assert cloud.api("PUT", f"{machine}/memory", json={"limit_mb": 200}).json()["limit_mb"] == 200
    assert cloud.api("PUT", f"{machine}/memory", json={"limit_mb": 300}).status_code == 400
    run(cloud, machine, "echo kept > /root/note")
    for verb in ("stop", "start"):
        assert cloud.api("POST", f"{machine}/{verb}").status_code == 200
    assert run(cloud, machine, "cat /root/note /srv/a.conf") == "kept\nplain"
    changed = {key: value for key, value in keys.items() if key != "checks"}
    ready = {"checks": {"ready": {"port": 9, "kind": "readiness", "interval": "1s", "grace_period": "0s"}}}
    config = cloud.api("GET", machine).json()["config"] | changed | ready
    assert cloud.api("POST", machine, json={"config": config}).status_code == 200
    wait_until(lambda: cloud.api("GET", machine).json()["checks"][0]["status"] == "critical", "the check fails")
    assert run(cloud, machine, "cat /root/note") == "kept", "an update to the same image keeps the root"
    refused = cloud.get(app)
    assert (refused.status_code, refused.headers["roost-error"]) == (503, "app_check_failing"), refused.text
    again = cloud.get(app, timeout=5)
    assert again.headers["roost-error"] == "app_check_failing", "a check that has failed for long is waited for no more"


def test_a_volume_grows_by_itself(cloud: RunningCloud, app: str) -> None:
    made = cloud.api("POST", f"/apps/{app}/volumes", json={"name": "data", "size_gb": 1})
    assert made.status_code == 200, made.text
    volume = f"/apps/{app}/volumes/{made.json()['id']}"
    mount = {"name": "data", "path": "/data", "extend_threshold_percent": 50, "add_size_gb": 1, "size_gb_limit": 2}
    machine = make(cloud, app, mounts=[mount])
    run(cloud, machine, "fallocate -l 600M /data/big")
    wait_until(lambda: cloud.api("GET", volume).json()["size_gb"] == 2, "the volume has grown")
    events = cloud.api("GET", f"{machine}/events").json()
    assert [event["request"]["size_gb"] for event in events if event["type"] == "volume_extend"] == [2]


def test_a_machine_may_be_made_without_requests(cloud: RunningCloud, app: str) -> None:
    config = {"image": "roost/python:bookworm", "init": {"exec": ["sh", "-c", SERVE]}}
    body = {"config": config, "skip_service_registration": True}
    made = cloud.api("POST", f"/apps/{app}/machines", json=body).json()
    assert made["cordoned"] is True
