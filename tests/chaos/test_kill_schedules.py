"""roostd killed (SIGKILL) at every step of a scheduled run: no time has two runs, none is lost, and it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.chaos.conftest import FaultyCloud
from tests.e2e.cloud.conftest import wait_until

APP = "chaos-schedules"
STEPS = ("machine.run.recorded", "machine.start.started")


@pytest.fixture(scope="module")
def machine(faulty: FaultyCloud) -> Iterator[str]:
    faulty.roost("apps", "create", APP)
    config = {"image": "roost/base:bookworm", "init": {"exec": ["sh", "-c", "echo ran"]}, "schedule": "* * * * * *"}
    made = faulty.api("POST", f"/apps/{APP}/machines", json={"config": config, "skip_launch": True})
    assert made.status_code == 200, made.text
    yield f"/apps/{APP}/machines/{made.json()['id']}"
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


def runs(cloud: FaultyCloud, machine: str) -> list[dict[str, Any]]:
    return list(cloud.api("GET", f"{machine}/runs?limit=200").json()["runs"])


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_a_run(faulty: FaultyCloud, machine: str, step: str) -> None:
    faulty.arm(step)
    wait_until(faulty.has_fired, "roostd comes by this step", 20)
    faulty.back()
    under_way = next(run for run in runs(faulty, machine) if run["state"] != "skipped")

    def ended() -> bool:
        found = next(run for run in runs(faulty, machine) if run["id"] == under_way["id"])
        return bool(found["state"] == "succeeded")

    wait_until(ended, "the run that was begun ends well", 20)
    newer = wait_until(
        lambda: [r for r in runs(faulty, machine) if r["id"] > under_way["id"] and r["state"] == "succeeded"],
        "it goes on",
    )
    assert newer
    due = [run["scheduled_at"] for run in runs(faulty, machine)]
    assert len(set(due)) == len(due), "a time has two runs"
    assert sum(run["state"] == "running" for run in runs(faulty, machine)) <= 1
