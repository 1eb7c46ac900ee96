"""roostd killed (SIGKILL) at every step of a machine's update: it ends with the new configuration, or the old one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud
from tests.e2e.cloud.conftest import ROOT, wait_until

APP = "chaos-update"
SOURCE = (ROOT / "src" / "roost" / "control" / "updating.py").read_text()
STEPS = sorted(set(re.findall(r'fault\("(machine\.update\.[a-z_]+)"\)', SOURCE)))
THROUGH = [step for step in STEPS if step != "machine.update.put_back"]
SLEEPER = ["sh", "-c", "trap 'exit 0' INT; while :; do sleep 0.05; done"]


@pytest.fixture(scope="module")
def machine(faulty: FaultyCloud) -> Iterator[str]:
    faulty.roost("apps", "create", APP)
    made = faulty.api("POST", f"/apps/{APP}/machines", json={"config": config("0")})
    assert made.status_code == 200, made.text
    yield f"/apps/{APP}/machines/{made.json()['id']}"
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


def config(number: str, **more: Any) -> dict[str, Any]:
    return {"image": "roost/base:bookworm", "init": {"exec": SLEEPER}, "env": {"NUMBER": number}, **more}


def update_until_killed(cloud: FaultyCloud, machine: str, step: str, body: dict[str, Any]) -> dict[str, Any]:
    cloud.arm(step)
    with pytest.raises(httpx2.HTTPError):
        cloud.api("POST", machine, json=body)
    assert cloud.has_fired(), "roostd never came by this step"
    cloud.back()
    wait_until(lambda: cloud.settled(APP), "the state has converged")
    found: dict[str, Any] = cloud.api("GET", machine).json()
    return found


@pytest.mark.parametrize("step", THROUGH)
def test_killed_in_an_update(faulty: FaultyCloud, machine: str, step: str) -> None:
    before = faulty.api("GET", machine).json()
    assert before["state"] == "started"
    update_until_killed(faulty, machine, step, {"config": config(step)})
    wait_until(lambda: faulty.api("GET", machine).json()["config"]["env"]["NUMBER"] == step, "it is updated")
    wait_until(lambda: faulty.api("GET", machine).json()["state"] == "started", "it runs again")
    seen = faulty.api("POST", f"{machine}/exec", json={"command": ["sh", "-c", "echo $NUMBER"]}).json()
    assert seen["stdout"].strip() == step
    versions = [v["version"] for v in faulty.api("GET", f"{machine}/versions").json()]
    assert versions[1] == before["instance_id"]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("step", ["machine.update.replaced", "machine.update.put_back"])
def test_killed_while_an_update_fails(faulty: FaultyCloud, machine: str, step: str) -> None:
    before = faulty.api("GET", machine).json()
    update_until_killed(faulty, machine, step, {"config": config("new", init={"exec": ["/no/such/program"]})})
    wait_until(
        lambda: (
            (now := faulty.api("GET", machine).json())["state"] == "started"
            and now["instance_id"] == before["instance_id"]
        ),
        "the old configuration runs",
    )
    assert faulty.api("GET", machine).json()["config"] == before["config"]
