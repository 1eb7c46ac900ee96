"""Runs of scheduled machines through the API: shape, pages, refusals; and a schedule in a machine's configuration."""

from __future__ import annotations

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import NOW, new_ulid

from roost.model.run import Run, RunState, Trigger

CONFIG = {"image": "roost/base:bookworm", "schedule": "*/5 * * * *", "schedule_timezone": "Europe/Berlin"}


@pytest.fixture
async def machine(client: httpx2.AsyncClient) -> str:
    assert (await client.post("/v1/apps", json={"name": "shop"})).status_code == 201
    made = await client.post("/v1/apps/shop/machines", json={"config": CONFIG, "skip_launch": True})
    assert made.status_code == 200, made.text
    assert made.json()["config"]["schedule"] == "*/5 * * * *"
    assert made.json()["config"]["schedule_timezone"] == "Europe/Berlin"
    return str(made.json()["id"])


async def test_runs_come_in_pages_newest_first(client: httpx2.AsyncClient, control: FakeControl, machine: str) -> None:
    path = f"/v1/apps/shop/machines/{machine}/runs"
    assert (await client.get(path)).json() == {"runs": [], "next_cursor": ""}
    ids = sorted({new_ulid() for _ in range(5)}, reverse=True)
    skipped = Run(ids[0], machine, "shop", "v", Trigger.SCHEDULE, RunState.SKIPPED, scheduled_at=NOW, reason="busy")
    ended = [
        Run(key, machine, "shop", "v", Trigger.START, RunState.FAILED, 0.0, 0, NOW, NOW + 1, 137, 9, True, "it ended")
        for key in ids[1:]
    ]
    control.schedules.of[machine] = [skipped, *ended]
    first = (await client.get(path, params={"limit": 2})).json()
    assert first["runs"][0] == {
        "id": ids[0], "machine_id": machine, "instance_id": "v", "state": "skipped", "trigger": "schedule",
        "scheduled_at": "2023-11-14T22:13:20.500Z", "missed": 0, "started_at": None, "ended_at": None,
        "exit_code": None, "signal": 0, "oom": False, "reason": "busy",
    }  # fmt: skip
    assert (first["runs"][1]["exit_code"], first["runs"][1]["oom"], first["runs"][1]["scheduled_at"]) == (
        137,
        True,
        None,
    )
    seen, cursor = [run["id"] for run in first["runs"]], first["next_cursor"]
    while cursor:
        page = (await client.get(path, params={"limit": 2, "cursor": cursor})).json()
        seen, cursor = seen + [run["id"] for run in page["runs"]], page["next_cursor"]
    assert seen == ids


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "%00"}, {"limit": "0"}, {"limit": "201"}])
async def test_refusals(client: httpx2.AsyncClient, machine: str, query: dict[str, str]) -> None:
    answer = await client.get(f"/v1/apps/shop/machines/{machine}/runs", params=query)
    assert answer.status_code in (400, 422) and answer.json()["error"]
    assert (await client.get("/v1/apps/shop/machines/00000000000000/runs")).status_code == 404


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"schedule": "at noon"}, "config.schedule"),
        ({"schedule_timezone": "Nowhere"}, "config.schedule_timezone"),
        ({"services": [{"internal_port": 80}]}, "config.services"),
    ],
)
async def test_what_a_schedule_can_not_be(client: httpx2.AsyncClient, machine: str, keys: object, named: str) -> None:
    body = {"config": CONFIG | keys}  # type: ignore[operator]
    answer = await client.post("/v1/apps/shop/machines", json=body)
    assert answer.status_code == 400 and named in answer.json()["error"]
