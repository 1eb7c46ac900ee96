"""Updates, cordons and repeated calls, on machines that run and answer."""

from __future__ import annotations

import os
import signal
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

SERVE = "mkdir -p /tmp/w; echo $WORD > /tmp/w/index.html; exec python3 -m http.server 8080 -d /tmp/w"


def config(word: str, **more: Any) -> dict[str, Any]:
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["sh", "-c", SERVE]},
        "env": {"WORD": word},
        "stop_config": {"signal": "SIGKILL"},
        "services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}],
        **more,
    }


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("changing")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


@pytest.fixture
def machine(cloud: RunningCloud, app: str) -> str:
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config("one")})
    assert made.status_code == 200, made.text
    wait_until(lambda: cloud.get(app).text.strip() == "one", "the app answers")
    return f"/apps/{app}/machines/{made.json()['id']}"


def test_an_update_reaches_those_who_call(cloud: RunningCloud, app: str, machine: str) -> None:
    begin = cloud.api("GET", f"{machine}/wait").json()["event_id"]
    done = cloud.api("POST", machine, json={"config": config("two", guest={"cpus": 1, "memory_mb": 128})})
    assert (done.status_code, done.json()["state"]) == (200, "started")
    assert cloud.get(app).text.strip() == "two"
    assert cloud.api("GET", f"{machine}/memory").json()["limit_mb"] == 128
    events = cloud.api("GET", f"{machine}/events").json()
    since = [(e["type"], e["status"]) for e in reversed(events) if e["id"] > begin]
    wanted = ["stopping", "stopped", "replaced", "starting", "started"]
    assert [status for _, status in since] == wanted
    (update,) = [e for e in events if e["type"] == "update"]
    assert update["request"]["instance_id"] == done.json()["instance_id"]
    version = cloud.api("POST", f"{machine}/exec", json={"command": ["sh", "-c", "echo $FLY_MACHINE_VERSION"]}).json()
    assert version["stdout"].strip() == done.json()["instance_id"]


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ({"init": {"exec": ["/no/such/program"]}}, 400),
        ({"init": {"exec": ["sh", "-c", SERVE], "user": "nobody-has-this-name"}}, 400),
        ({"image": "roost/no-such-image:bookworm"}, None),
    ],
)
def test_what_cannot_start_is_taken_back(
    cloud: RunningCloud, app: str, machine: str, broken: dict[str, Any], status: int | None
) -> None:
    before = cloud.api("GET", machine).json()
    done = cloud.api("POST", machine, json={"config": config("bad") | broken})
    assert 400 <= done.status_code < 500, done.text
    assert status in (None, done.status_code)
    after = cloud.api("GET", machine).json()
    assert (after["state"], after["instance_id"]) == ("started", before["instance_id"])
    assert after["config"] == before["config"]
    assert [v["version"] for v in cloud.api("GET", f"{machine}/versions").json()] == [before["instance_id"]]
    wait_until(lambda: cloud.get(app).text.strip() == "one", "the old configuration answers")


def test_a_machine_that_rests_is_not_started(cloud: RunningCloud, app: str, machine: str) -> None:
    cloud.api("POST", f"{machine}/suspend")
    done = cloud.api("POST", machine, json={"config": config("two")})
    assert (done.status_code, done.json()["state"]) == (200, "stopped")
    assert cloud.get(app).text.strip() == "two"  # the request wakes it, with the new configuration


def test_a_cordoned_machine_runs_on_without_requests(cloud: RunningCloud, app: str, machine: str) -> None:
    other = cloud.api("POST", f"/apps/{app}/machines", json={"config": config("other")}).json()["id"]
    wait_until(lambda: {cloud.get(app).text.strip() for _ in range(10)} == {"one", "other"}, "both are called")
    assert cloud.api("POST", f"{machine}/cordon").status_code == 200
    assert {cloud.get(app).text.strip() for _ in range(20)} == {"other"}
    assert cloud.api("GET", machine).json()["state"] == "started"
    assert cloud.api("POST", f"/apps/{app}/machines/{other}/cordon").status_code == 200
    refused = cloud.get(app)
    assert (refused.status_code, refused.headers["roost-fault"]) == (503, "app")
    assert cloud.api("POST", f"{machine}/uncordon").status_code == 200
    assert {cloud.get(app).text.strip() for _ in range(20)} == {"one"}


def test_what_runs_in_a_machine_is_listed(cloud: RunningCloud, app: str, machine: str) -> None:
    (process,) = cloud.api("GET", f"{machine}/ps").json()
    assert (process["pid"], process["directory"]) == (1, "/")
    assert process["command"].endswith("-m http.server 8080 -d /tmp/w")
    assert process["listen_sockets"] == [{"proto": "tcp", "address": "0.0.0.0:8080"}]
    assert process["rss"] > 1 << 20
    assert process["cpu"] > 0


def test_memory_that_is_in_use_is_not_taken_away(cloud: RunningCloud, app: str, machine: str) -> None:
    eat = "python3 -c \"x = b'a' * (120 << 20); print(1, flush=True); import time; time.sleep(60)\""
    cloud.api("POST", machine, json={"config": config("one", init={"exec": ["sh", "-c", eat]})})
    wait_until(lambda: cloud.api("GET", f"{machine}/memory").json()["available_mb"] < 140, "it has eaten")
    refused = cloud.api("PUT", f"{machine}/memory", json={"limit_mb": 64})
    assert (refused.status_code, refused.json()["status"]) == (412, "failed_precondition")
    assert cloud.api("GET", f"{machine}/memory").json()["limit_mb"] == 256
    assert cloud.api("GET", machine).json()["state"] == "started"


def test_an_answer_is_given_again_after_roostd_was_killed(cloud: RunningCloud, app: str) -> None:
    body: dict[str, Any] = {"config": config("one"), "skip_launch": True}
    key = {"Idempotency-Key": str(uuid.uuid4())}

    def create(more: dict[str, Any]) -> httpx2.Response:
        return cloud.api("POST", f"/apps/{app}/machines", json=body | more, headers=key)

    first = create({})
    assert first.status_code == 200, first.text
    os.kill(cloud.roostd_pid, signal.SIGKILL)
    cloud.roost("up", "--home", cloud.home)
    again = create({})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert create({"name": "other"}).status_code == 422
    assert len(cloud.machines(app)) == 1
    with sqlite3.connect(f"file:{cloud.home}/state.db?mode=ro", uri=True) as database:
        stored = [bytes(row[0]) for row in database.execute("SELECT body FROM replays")]
    assert stored
    assert not any(first.json()["id"].encode() in answer for answer in stored)


def test_of_two_updates_at_once_one_is_refused(cloud: RunningCloud, app: str, machine: str) -> None:
    version = cloud.api("GET", machine).json()["instance_id"]
    words = ("left", "right")

    def update(word: str) -> httpx2.Response:
        return cloud.api("POST", machine, json={"config": config(word), "current_version": version})

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(update, words))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (won,) = [word for word, answer in zip(words, answers, strict=True) if answer.status_code == 200]
    assert cloud.get(app).text.strip() == won
    assert len(cloud.api("GET", f"{machine}/versions").json()) == 2


def test_a_leased_machine_goes_with_its_app(cloud: RunningCloud, app: str, machine: str) -> None:
    assert cloud.api("POST", f"{machine}/lease", json={"ttl": 600}).status_code == 201
    assert cloud.api("DELETE", f"{machine}?force=true").status_code == 409
    assert cloud.api("DELETE", f"/apps/{app}?force=true").status_code == 202


def test_metadata_change_while_the_machine_serves(cloud: RunningCloud, app: str, machine: str) -> None:
    pid = cloud.api("POST", f"{machine}/exec", json={"command": ["cat", "/proc/1/stat"]}).json()["stdout"].split()[21]
    assert cloud.api("PUT", f"{machine}/metadata", json={"metadata": {"role": "web"}}).json() == {"role": "web"}
    again = cloud.api("POST", f"{machine}/exec", json={"command": ["cat", "/proc/1/stat"]}).json()["stdout"].split()[21]
    assert again == pid
    assert cloud.get(app).text.strip() == "one"


def test_the_command_line(cloud: RunningCloud, app: str, machine: str) -> None:
    ident = machine.rpartition("/")[2]
    cloud.roost("machine", "update", ident, "-a", app, "--env", "WORD=three", "--memory", "200")
    assert cloud.get(app).text.strip() == "three"
    cloud.roost("machine", "cordon", ident, "-a", app)
    assert cloud.get(app).status_code == 503
    cloud.roost("machine", "uncordon", ident, "-a", app)
    assert cloud.get(app).status_code == 200
    assert "web" in cloud.roost("machine", "metadata", ident, "-a", app, "role=web").stdout
