"""The data plane outlives the control plane: roostd killed, Envoy killed, everything killed."""

from __future__ import annotations

import contextlib
import json
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
    cloud.roost("apps", "destroy", name, "--yes", check=False)


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


def test_after_everything_was_killed_what_is_desired_runs_again(cloud: RunningCloud, app: str) -> None:
    """As after a reboot: the app that was awake runs again; the one that slept lost its memory, and wakes afresh."""
    sleeper = f"{app}-2"
    cloud.roost("apps", "create", sleeper)
    try:
        create(cloud, sleeper, config())
        first = wait_until(lambda: (r := cloud.get(sleeper)).status_code == 200 and r.text, "the second app answers")
        cloud.roost("machine", "suspend", cloud.machines(sleeper)[0]["id"], "-a", sleeper)
        before = cloud.get(app).text
        kill_all_of(cloud)
        cloud.roost("up", "--home", cloud.home)
        wait_until(lambda: cloud.machines(app)[0]["state"] == "started", "the awake app is started again")
        again = wait_until(lambda: (r := cloud.get(app)).status_code == 200 and r.text, "and answers")
        assert again != before
        assert cloud.machines(sleeper)[0]["state"] == "stopped"
        assert cloud.get(sleeper).text not in ("", first)
    finally:
        cloud.roost("apps", "destroy", sleeper, "--yes", check=False)


def kill_all_of(cloud: RunningCloud) -> None:
    """SIGKILL to every process of the cloud at once: supervisor, roostd, Envoy, monitors and machines."""
    cloud_id = json.loads((cloud.home / "cloud.json").read_text())["id"]

    def living() -> set[int]:
        found: set[int] = set()
        for place, _, _ in os.walk("/sys/fs/cgroup"):
            if f"/roost-{cloud_id}" in place:
                with contextlib.suppress(OSError):  # roostd removes it meanwhile
                    found |= {int(pid) for pid in (Path(place) / "cgroup.procs").read_text().split()}
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if cloud_id.encode() in command or str(cloud.home).encode() in command:
                found.add(int(entry.name))
        return found

    def none_left() -> bool:
        for pid in (left := living()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in Path("/sys/fs/cgroup/freezer").glob(f"roost-{cloud_id}/*/freezer.state"):
            group.write_text("THAWED")  # under cgroup v1 a frozen process dies only when it is thawed
        return not left

    wait_until(none_left, "all processes of the cloud are gone")
