"""Listings of machines and volumes: filters, pages, and what was destroyed lately."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

from roost.model.machine_config import MachineConfig

URL = "/v1/apps/myapp/machines"


@pytest.fixture
def machines(control: FakeControl) -> list[str]:
    control.apps.create("myapp")
    made = [control.machines.create("myapp", MachineConfig(image="nginx:1", metadata={"n": str(n)})) for n in range(4)]
    control.machines.stop("myapp", made[2].id)
    control.machines.destroy("myapp", made[3].id, force=True)
    return [machine.id for machine in made]


async def ids(client: httpx2.AsyncClient, url: str = URL, key: str = "", **query: Any) -> list[str]:
    answer = await client.get(url, params=query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in (answer.json()[key] if key else answer.json())]


async def test_filters(client: httpx2.AsyncClient, machines: list[str]) -> None:
    first, second, stopped, gone = machines
    assert await ids(client) == [first, second, stopped]
    assert await ids(client, state="stopped,suspended") == [stopped]
    assert await ids(client, state=["stopped", "started"]) == [first, second, stopped]
    assert await ids(client, region="local") == [first, second, stopped]
    assert await ids(client, region="elsewhere") == []
    assert await ids(client, **{"metadata.n": "1"}) == [second]
    assert await ids(client, **{"metadata.n": "1", "state": "stopped"}) == []
    assert await ids(client, include_deleted="true") == [first, second, stopped, gone]
    assert await ids(client, state="destroyed") == [gone]
    assert await ids(client, **{"metadata.n": "3", "include_deleted": "true"}) == [gone]
    refused = await client.get(URL, params={"state": "asleep"})
    assert (refused.status_code, "asleep" in refused.json()["error"]) == (400, True)


async def test_destroyed_ones_are_whole(client: httpx2.AsyncClient, machines: list[str]) -> None:
    (row,) = (await client.get(URL, params={"state": "destroyed"})).json()
    assert (row["state"], row["config"]["metadata"]) == ("destroyed", {"n": "3"})
    assert (await client.get(f"{URL}/{row['id']}")).status_code == 404
    waited = await client.get(f"{URL}/{row['id']}/wait", params={"state": "destroyed"})
    assert (waited.status_code, waited.json()["state"]) == (200, "destroyed")


async def test_leases_and_summary(client: httpx2.AsyncClient, machines: list[str]) -> None:
    await client.post(f"{URL}/{machines[0]}/lease", json={"ttl": 60, "description": "mine"})
    rows = (await client.get(URL, params={"include_leases": "true", "summary": "true"})).json()
    assert [bool(row["lease"]) for row in rows] == [True, False, False]
    assert set(rows[0]["lease"]) == {"owner", "description", "expires_at"}
    assert not {"config", "events", "checks", "host_status", "nonce"} & set(rows[0])
    whole = (await client.get(URL)).json()
    assert {"config", "events", "checks", "host_status"} <= set(whole[0])
    assert whole[0] == (await client.get(f"{URL}/{machines[0]}")).json()


async def pages(client: httpx2.AsyncClient, url: str, key: str, **query: Any) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        answer = (await client.get(url, params={"cursor": cursor, **query})).json()
        found.append([row["id"] for row in answer[key]])
        assert answer[f"last_{key[:-1]}_id"] == (found[-1][-1] if found[-1] else "")
        cursor = answer["next_cursor"]
        if not cursor:
            return found


async def test_pages_of_an_org(client: httpx2.AsyncClient, machines: list[str]) -> None:
    url = "/v1/orgs/personal/machines"
    living = await pages(client, url, "machines", limit=2)
    assert [len(page) for page in living] == [2, 1]
    assert {ident for page in living for ident in page} == set(machines[:3])
    both = await pages(client, url, "machines", limit=2, include_deleted="true")
    assert [len(page) for page in both] == [2, 2]
    assert both[1][1] == machines[3], "what changed last comes last"


async def test_volumes_of_an_org(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("one")
    control.apps.create("two")
    control.apps.create("others", "acme")
    made = [control.volumes.create(app, "data") for app in ("one", "two", "others")]
    gone = control.volumes.create("one", "old", region="far")
    control.volumes.destroy("one", gone.id)
    url = "/v1/orgs/personal/volumes"
    assert await pages(client, url, "volumes", limit=1) == [[made[0].id], [made[1].id]]
    rows = (await client.get(url, params={"include_deleted": "true"})).json()["volumes"]
    assert [(row["app_name"], row["state"]) for row in rows] == [
        ("one", "created"),
        ("two", "created"),
        ("one", "destroyed"),
    ]
    assert "bytes_used" in rows[0]
    assert "bytes_used" not in (await client.get(url, params={"summary": "true"})).json()["volumes"][0]
    assert await ids(client, url, "volumes", region="far") == []
    assert await ids(client, url, "volumes", state="destroyed") == [gone.id]
    after = (await client.get(url)).json()["last_updated_at"]
    assert await ids(client, url, "volumes", updated_after=after) == []
    refused = await client.get(url, params={"state": "attached"})
    assert (refused.status_code, "attached" in refused.json()["error"]) == (400, True)


async def test_apps_by_role(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/apps", json={"name": "plain"})
    made = await client.post("/v1/apps", json={"name": "pg", "app_role_id": "postgres_cluster"})
    assert made.json()["app_role"] == "postgres_cluster"
    found = (await client.get("/v1/apps", params={"app_role": "postgres_cluster"})).json()
    assert (found["total_apps"], found["apps"][0]["name"]) == (1, "pg")
    assert (await client.get("/v1/apps")).json()["total_apps"] == 2
    refused = await client.post("/v1/apps", json={"name": "no", "app_role_id": "a b"})
    assert (refused.status_code, "app_role_id" in refused.json()["error"]) == (400, True)
