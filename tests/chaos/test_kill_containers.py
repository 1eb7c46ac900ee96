"""roostd killed (SIGKILL) at each of control's steps of starting a machine's containers: all run in the end, in order.

The host's own steps are in tests/e2e/host/test_containers.py.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud
from tests.e2e.cloud.conftest import ROOT, wait_until

APP = "chaos-containers"
STEPS = sorted(
    {
        name
        for path in (ROOT / "src" / "roost").rglob("*.py")
        for name in re.findall(r"""fault(?:s)?\(\s*"([a-z_.]+)"\s*\)""", path.read_text())
        if name.startswith("machine.container.")
    }
)
NEEDS = [{"name": "first", "condition": "exited_successfully"}]
STOP = {"signal": "SIGKILL"}
CONFIG: dict[str, Any] = {
    "image": "roost/base:bookworm",
    "containers": [
        {"name": "first", "exec": ["sh", "-c", "echo x >> /shared/runs"], "mounts": [{"name": "m", "path": "/shared"}]},
        {
            "name": "second",
            "exec": ["sh", "-c", "cat /shared/runs; exec sleep 1000"],
            "depends_on": NEEDS,
            "stop": STOP,
            "mounts": [{"name": "m", "path": "/shared"}],
        },
        {"name": "other", "exec": ["sleep", "1000"], "stop": STOP},
    ],
    "volumes": [{"name": "m", "temp_dir": {"storage_type": "disk", "size_mb": 4}}],
}


@pytest.fixture(scope="module")
def machine(faulty: FaultyCloud) -> Iterator[str]:
    faulty.roost("apps", "create", APP)
    made = faulty.api("POST", f"/apps/{APP}/machines", json={"config": CONFIG, "skip_launch": True})
    assert made.status_code == 200, made.text
    yield f"/apps/{APP}/machines/{made.json()['id']}"
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


def states(cloud: FaultyCloud, machine: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in cloud.api("GET", machine).json()["containers"]}


def ends_of_first(cloud: FaultyCloud, machine: str) -> list[float]:
    events = cloud.api("GET", f"{machine}/events?limit=50").json()
    return [
        datetime.fromisoformat(e["request"]["exit_event"]["exited_at"]).timestamp()
        for e in events
        if e["request"].get("container") == "first" and e["type"] == "exit"
    ]


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_containers_start(faulty: FaultyCloud, machine: str, step: str) -> None:
    told = max(ends_of_first(faulty, machine), default=0.0)
    faulty.arm(step)
    with contextlib.suppress(httpx2.HTTPError):  # some steps come after the answer
        faulty.api("POST", f"{machine}/start")
    wait_until(faulty.has_fired, "roostd came by this step")
    faulty.back()
    wait_until(
        lambda: states(faulty, machine) == {"first": "stopped", "second": "started", "other": "started"}, "all run"
    )
    wait_until(lambda: faulty.api("GET", machine).json()["state"] == "started", "it is started")
    ends = ends_of_first(faulty, machine)
    assert max(ends) > told
    assert len(ends) == len(set(ends)), "an end was told twice"
    runs = faulty.api("POST", f"{machine}/exec", json={"command": ["cat", "/shared/runs"], "container": "second"})
    assert set(runs.json()["stdout"].split()) == {"x"}
    assert faulty.api("POST", f"{machine}/stop").status_code == 200
    assert faulty.settled(APP)


def test_killed_while_it_stops_and_is_destroyed(faulty: FaultyCloud, machine: str) -> None:
    assert faulty.api("POST", f"{machine}/start").status_code == 200
    faulty.arm("host.stop.containers")
    with pytest.raises(httpx2.HTTPError):
        faulty.api("POST", f"{machine}/stop")
    assert faulty.has_fired()
    faulty.back()
    wait_until(lambda: faulty.settled(APP), "it has stopped")
    assert faulty.api("GET", machine).json()["state"] == "stopped"
    assert faulty.api("POST", f"{machine}/start").status_code == 200
    faulty.arm("host.destroy.release")
    with pytest.raises(httpx2.HTTPError):
        faulty.api("DELETE", f"{machine}?force=true")
    faulty.back()
    ours = machine.rpartition("/")[2]
    wait_until(lambda: faulty.settled(APP) and ours not in faulty.on_host(), "it is gone")
    assert faulty.api("GET", machine).status_code == 404
