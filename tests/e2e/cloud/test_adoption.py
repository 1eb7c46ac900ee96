"""The data plane outlives the control plane: roostd killed, Envoy killed, everything killed."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.test_sleep_and_wake import config, create


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = f"lasting-{uuid.uuid4().hex[:8]}"
    cloud.roost("apps", "create", name)
    create(cloud, name, config())
    wait_until(lambda: cloud.get(name).status_code == 200, "the app answers")
    yield name
    cloud.roost("apps", "destroy", name, "--yes", "--force", check=False)


def test_an_awake_app_serves_while_roostd_is_killed_and_adopted(cloud: RunningCloud, app: str) -> None:
    first, (before,) = cloud.get(app).text, cloud.machines(app)
    answers: list[int] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            answers.append(cloud.get(app).status_code)
            time.sleep(0.02)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        old = cloud.roostd_pid
        os.kill(old, signal.SIGKILL)
        cloud.roost("up", "--home", cloud.home)
        assert cloud.roostd_pid != old
        time.sleep(1)
    finally:
        done.set()
        asking.join()
    assert set(answers) == {200}
    assert len(answers) > 20
    (after,) = cloud.machines(app)
    assert (after["id"], after["state"]) == (before["id"], "started")
    assert cloud.get(app).text == first


def test_a_suspended_app_is_still_suspended_after_a_kill_and_wakes(cloud: RunningCloud, app: str) -> None:
    first, (machine,) = cloud.get(app).text, cloud.machines(app)
    cloud.roost("machine", "suspend", machine["id"], "-a", app)
    os.kill(cloud.roostd_pid, signal.SIGKILL)
    cloud.roost("up", "--home", cloud.home)
    assert cloud.machines(app)[0]["state"] == "suspended"
    assert cloud.get(app).text == first


def test_envoy_killed_is_back_with_its_routes(cloud: RunningCloud, app: str) -> None:
    pid = int(cloud.json("status")["envoy"]["pid"])
    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            return cloud.get(app, timeout=2).status_code == 200
        except Exception:
            return False

    wait_until(answers, "Envoy is back and serves the app")
    assert int(cloud.json("status")["envoy"]["pid"]) != pid


def test_conmon_killed_does_not_take_the_app_down(cloud: RunningCloud, app: str) -> None:
    (machine,) = cloud.machines(app)
    monitors = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "comm").exists():
            command = (entry / "cmdline").read_bytes()
            if b"conmon" in command.split(b"\0")[0] and machine["id"].encode() in command:
                monitors.append(int(entry.name))
    assert monitors
    for pid in monitors:
        os.kill(pid, signal.SIGKILL)
    assert cloud.get(app).status_code == 200
    cloud.roost("machine", "stop", machine["id"], "-a", app)
    assert cloud.machines(app)[0]["state"] == "stopped"
    assert cloud.get(app).status_code == 200  # and it starts again for a request
