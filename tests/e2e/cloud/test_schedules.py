"""Machines that run at times, and machines that stand by for others, on a real cloud."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

EVERY_2 = {"schedule": "*/2 * * * * *"}
KILLED = {"stop_config": {"signal": "SIGKILL"}}


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("schedules")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


def make(cloud: RunningCloud, app: str, script: str, skip_launch: bool = True, **keys: Any) -> str:
    config = {"image": "roost/base:bookworm", "init": {"exec": ["sh", "-c", script]}} | keys
    if "containers" in config:
        del config["init"]
    body = {"config": config, "skip_launch": skip_launch}
    made = cloud.api("POST", f"/apps/{app}/machines", json=body)
    assert made.status_code == 200, made.text
    return f"/apps/{app}/machines/{made.json()['id']}"


def runs(cloud: RunningCloud, machine: str, *states: str) -> list[dict[str, Any]]:
    found = cloud.api("GET", f"{machine}/runs?limit=200").json()["runs"]
    return [run for run in found if not states or run["state"] in states]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_runs_at_its_times_and_tells_of_them(cloud: RunningCloud, app: str) -> None:
    part = {"name": "job", "image": "roost/base:bookworm", "cmd": ["sh", "-c", "date >> /data/all"]}
    assert cloud.api("POST", f"/apps/{app}/volumes", json={"name": "data", "size_gb": 1}).status_code == 200
    mounts = [{"name": "data", "path": "/data"}]
    good = {
        "plain": make(cloud, app, "echo ran", **EVERY_2),
        "gvisor": make(cloud, app, "echo ran", isolation="gvisor", **EVERY_2),
        "containers": make(cloud, app, "", containers=[part], mounts=mounts, **EVERY_2),
    }
    broken = make(cloud, app, "exit 3", restart={"policy": "no"}, **EVERY_2)
    slow = make(cloud, app, "sleep 3", **KILLED, **EVERY_2)
    for kind, machine in good.items():
        wait_until(lambda m=machine: len(runs(cloud, m, "succeeded")) >= 2, f"{kind} has run twice", 20)  # type: ignore[misc]
        first, second = runs(cloud, machine, "succeeded")[-2:]
        assert moment(first["scheduled_at"]) - moment(second["scheduled_at"]) >= 2
        assert first["trigger"] == "schedule" and first["exit_code"] == 0 and not first["oom"]
        assert 0 <= moment(first["started_at"]) - moment(first["scheduled_at"]) < 2
    for machine in (broken, slow, *good.values()):
        due = [run["scheduled_at"] for run in runs(cloud, machine)]
        assert len(set(due)) == len(due), "no time has two runs"
    assert {run["exit_code"] for run in runs(cloud, broken) if run["state"] != "running"} == {3}
    assert {run["state"] for run in runs(cloud, broken)} <= {"failed", "running"}
    wait_until(lambda: runs(cloud, slow, "skipped"), "a time that comes during a run is skipped")
    assert "had not ended" in runs(cloud, slow, "skipped")[0]["reason"]
    found = cloud.api("GET", slow).json()
    assert moment(found["next_run_at"]) % 2 == 0
    if found["state"] == "started":
        assert cloud.api("POST", f"{slow}/suspend").status_code == 412
    shown = cloud.roost("machine", "runs", slow.rsplit("/", 1)[1], "-a", app).stdout
    assert "skipped" in shown and "had not ended" in shown


def test_runs_once_when_it_is_made_and_when_somebody_starts_it(cloud: RunningCloud, app: str) -> None:
    machine = make(cloud, app, "exec sleep 600", skip_launch=False, schedule="monthly", **KILLED)
    assert [(run["trigger"], run["state"]) for run in runs(cloud, machine)] == [("create", "running")]
    assert cloud.api("POST", f"{machine}/suspend").status_code == 412
    assert cloud.api("POST", f"{machine}/stop").status_code == 200
    assert [run["state"] for run in runs(cloud, machine)] == ["interrupted"]
    assert cloud.api("POST", f"{machine}/start").status_code == 200
    assert runs(cloud, machine)[0]["trigger"] == "start"
    status = cloud.roost("machine", "status", machine.rsplit("/", 1)[1], "-a", app).stdout
    assert "monthly (UTC), next at 20" in status


def test_a_deploy_makes_machines_that_wait_for_their_time(cloud: RunningCloud, app: str, tmp_path: Path) -> None:
    (tmp_path / "roost.toml").write_text(f"""
app = "{app}"
kill_signal = "SIGKILL"
[processes]
web = "sleep 600"
job = "echo $N"
[env]
N = "1"
[[schedules]]
schedule = "*/2 * * * * *"
processes = ["job"]
""")
    deploy = ("deploy", str(tmp_path), "--image", "roost/base:bookworm")
    cloud.roost(*deploy)
    job = next(m["id"] for m in cloud.machines(app) if m["process_group"] == "job")
    path = f"/apps/{app}/machines/{job}"
    wait_until(lambda: runs(cloud, path, "succeeded"), "it runs at its time", 10)
    assert {run["trigger"] for run in runs(cloud, path)} <= {"schedule", "catch_up"}
    (tmp_path / "roost.toml").write_text((tmp_path / "roost.toml").read_text().replace('"1"', '"2"'))
    cloud.roost(*deploy)
    found = cloud.api("GET", path).json()
    assert found["release"] == 2 and found["config"]["env"]["N"] == "2" and not found["cordoned"]
    wait_until(
        lambda: found["instance_id"] in {r["instance_id"] for r in runs(cloud, path, "succeeded")}, "the new one"
    )
    assert len({run["instance_id"] for run in runs(cloud, path, "succeeded")}) == 2, "the history stays"


def test_a_standby_runs_while_the_other_can_not(cloud: RunningCloud, app: str) -> None:
    restart = {"policy": "on-failure", "max_retries": 0}
    first = make(cloud, app, "exec sleep 600", skip_launch=False, restart=restart, **KILLED)
    id_ = first.rsplit("/", 1)[1]
    standby = make(cloud, app, "echo $FLY_STANDBY_FOR; exec sleep 600", False, standbys=[id_], **KILLED)
    assert cloud.api("GET", standby).json()["state"] == "created"
    killed = cloud.api("POST", f"{first}/signal", json={"signal": "SIGKILL"})
    assert killed.status_code == 200, killed.text
    wait_until(lambda: cloud.api("GET", standby).json()["state"] == "started", "it stands in", 10)
    assert cloud.api("GET", first).json()["state"] == "failed"
    reasons = [event["request"].get("reason", "") for event in cloud.api("GET", f"{standby}/events").json()]
    assert f"it stands in for {id_} (failed)" in reasons
    assert cloud.api("POST", f"{first}/start").status_code == 200
    wait_until(lambda: cloud.api("GET", standby).json()["state"] == "stopped", "it goes", 15)
    reasons = [event["request"].get("reason", "") for event in cloud.api("GET", f"{standby}/events").json()]
    assert f"machine {id_} runs again" in reasons
    assert id_ in cloud.roost("logs", "-a", app, "--machine", standby.rsplit("/", 1)[1]).stdout
    refused = cloud.api("POST", standby, json={"config": {"image": "roost/base:bookworm", "standbys": ["0" * 14]}})
    assert refused.status_code == 400 and "config.standbys[0]" in refused.json()["error"]
