"""roostd killed (SIGKILL) at every step of making, waking and removing machines by load.

The steps are read from the source. After each kill the number of machines comes to what the policy asks for, each is
marked as what it is, nothing leaks, and the app answered every request meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from tests.chaos.conftest import FaultyCloud, asking
from tests.chaos.test_kill_at_every_step import NAMED
from tests.e2e.cloud.conftest import ROOT, wait_until
from tests.e2e.cloud.test_autoscaling import stream
from tests.e2e.cloud.test_load import SERVER

APP = "chaos-autoscale"
STEPS = [name for name in NAMED if name.startswith("autoscale.")]
MAKE = [name for name in STEPS if ".make." in name] + ["machine.create.added", "machine.start.started"]
REMOVE = [name for name in STEPS if ".remove." in name] + ["machine.destroy.recorded", "machine.destroy.destroyed"]
WAKE = [name for name in STEPS if ".wake." in name]


def test_all_steps_are_here() -> None:
    written = re.findall(r'fault\("(autoscale\.[a-z.]+)"\)', (ROOT / "src/roost/control/autoscale_acts.py").read_text())
    assert set(written) == set(STEPS) == {*MAKE, *REMOVE, *WAKE} & set(STEPS)


@pytest.fixture(scope="module")
def app(faulty: FaultyCloud) -> Iterator[str]:
    faulty.roost("apps", "create", APP)
    config = {
        "app": APP,
        "kill_signal": "SIGKILL",
        "experimental": {"exec": ["python3", "-c", SERVER]},
        "http_service": {"internal_port": 8080, "auto_stop_machines": "off"},
    }
    begun = faulty.api("POST", f"/apps/{APP}/deploys", json={"image": "roost/python:bookworm", "config": config})
    assert begun.status_code == 202, begun.text
    path = f"/operations/{begun.json()['id']}"
    wait_until(lambda: faulty.api("GET", path).json()["state"] == "succeeded", "it is deployed", 120)
    yield APP
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


def scale(cloud: FaultyCloud, app: str, **policy: Any) -> None:
    body = {"max": 3, "down_after": "0s", **policy}
    answer = cloud.api("PUT", f"/apps/{app}/autoscale/app", json=body)
    assert answer.status_code == 200, answer.text


def is_at(cloud: FaultyCloud, app: str, count: int) -> bool:
    machines = cloud.api("GET", f"/apps/{app}/machines").json()
    marks = [m["config"]["metadata"].get("roost_autoscaled") for m in machines]
    serving = all(m["state"] == "started" and not m["cordoned"] for m in machines)
    return bool(len(machines) == count and serving and "joining" not in marks and cloud.settled(app))


@pytest.mark.parametrize("step", [*MAKE, *REMOVE])
def test_killed_while_machines_come_and_go(faulty: FaultyCloud, app: str, step: str) -> None:
    up, down = {"min": 3, "concurrency": 1000}, {"min": 1, "concurrency": 1000}
    scale(faulty, app, **(down if step in MAKE else up))
    wait_until(lambda: is_at(faulty, app, 1 if step in MAKE else 3), "it begins from where it should", 60)
    with asking(faulty, APP) as wrong:
        faulty.arm(step)
        scale(faulty, app, **(up if step in MAKE else down))
        wait_until(faulty.has_fired, "roostd comes by this step", 20)
        faulty.back()
        wait_until(lambda: is_at(faulty, app, 3 if step in MAKE else 1), "it comes to what was asked for", 60)
    assert wrong == []
    log = faulty.api("GET", f"/apps/{app}/autoscale").json()["decisions"]
    assert not any(decision["state"] == "under_way" for decision in log), "a decision that nobody works at"


def test_a_deploy_keeps_what_autoscaling_made(faulty: FaultyCloud, app: str) -> None:
    scale(faulty, app, min=3, concurrency=1000)
    wait_until(lambda: is_at(faulty, app, 3), "there are three", 60)
    before = {m["id"] for m in faulty.machines(app)}
    with asking(faulty, APP) as wrong:
        begun = faulty.api("POST", f"/apps/{app}/deploys", json={})
        path = f"/operations/{begun.json()['id']}"
        wait_until(lambda: faulty.api("GET", path).json()["state"] == "succeeded", "it is deployed", 120)
    assert wrong == []
    machines = faulty.api("GET", f"/apps/{app}/machines").json()
    assert not before & {m["id"] for m in machines}
    assert sorted(m["config"]["metadata"].get("roost_autoscaled", "") for m in machines) == ["", "yes", "yes"]
    scale(faulty, app, min=1, concurrency=1000)
    wait_until(lambda: is_at(faulty, app, 1), "what it made goes again", 60)


@pytest.mark.timeout(150)
def test_a_wake_that_never_succeeds_says_why_in_time(faulty: FaultyCloud) -> None:
    faulty.roost("apps", "create", "never")
    try:
        machine = {
            "image": "roost/base:bookworm",
            "init": {"exec": ["sleep", "600"]},
            "services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}],
        }
        made = faulty.api("POST", "/apps/never/machines", json={"config": machine})
        assert made.status_code == 200, made.text
        faulty.api("POST", f"/apps/never/machines/{made.json()['id']}/stop")
        began = time.monotonic()
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: faulty.get("never", timeout=90), range(50)))
        assert time.monotonic() - began < 62
        assert {(a.status_code, a.headers["roost-error"]) for a in answers} == {(502, "app_not_listening")}
        assert "has not listened on port 8080 within 58 s" in answers[0].text
        events = faulty.api("GET", f"/apps/never/machines/{made.json()['id']}/events").json()
        assert sum(e["type"] == "start" and e["status"] == "started" for e in events) == 2, "created, and one wake"
    finally:
        faulty.roost("apps", "destroy", "never", "--yes", check=False)


@pytest.mark.parametrize("step", WAKE)
def test_killed_while_one_is_woken(faulty: FaultyCloud, app: str, step: str) -> None:
    scale(faulty, app, min=2, concurrency=1000)
    wait_until(lambda: is_at(faulty, app, 2), "there are two", 60)
    faulty.api("DELETE", f"/apps/{app}/autoscale/app")
    asleep = faulty.machines(app)[1]["id"]
    assert faulty.api("POST", f"/apps/{app}/machines/{asleep}/suspend").status_code == 200
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(stream(faulty, app))
        faulty.arm(step)
        scale(faulty, app, min=1, max=2, concurrency=2)
        wait_until(faulty.has_fired, "roostd comes by this step", 20)
        faulty.back()
        wait_until(lambda: is_at(faulty, app, 2), "both run", 60)
