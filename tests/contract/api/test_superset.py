"""Section 1.7 of the reference, row by row: where the sources disagree, every client is served."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

CONFIG = {"image": "roost/base:bookworm"}


@pytest.fixture
async def machine(client: httpx2.AsyncClient) -> dict[str, Any]:
    await client.post("/v1/apps", json={"name": "myapp"})
    return dict((await client.post("/v1/apps/myapp/machines", json={"config": CONFIG})).json())


@pytest.mark.parametrize("body", [{"name": "shop"}, {"app_name": "shop"}, {"app_name": "shop", "name": "shop"}])
async def test_both_names_of_an_apps_name(client: httpx2.AsyncClient, body: dict[str, str]) -> None:
    answer = await client.post("/v1/apps?wait=true", json=body | {"org_slug": "personal"})
    assert answer.status_code == 201
    assert {"id", "name", "created_at"} <= set(answer.json())
    taken = await client.post("/v1/apps", json=body)
    assert (taken.status_code, taken.json()["status"]) == (422, "name_taken")


@pytest.mark.parametrize(("body", "query"), [({"ttl": 60}, ""), ({}, "?ttl=60"), (None, "?ttl=60")])
async def test_a_leases_ttl_and_its_two_shapes(
    client: httpx2.AsyncClient, machine: dict[str, Any], body: dict[str, int] | None, query: str
) -> None:
    answer = await client.post(f"/v1/apps/myapp/machines/{machine['id']}/lease{query}", json=body)
    assert answer.status_code == 201
    found = answer.json()
    assert found["status"] == "success"
    assert found["data"]["nonce"] == found["nonce"]
    assert found["data"]["expires_at"] == found["expires_at"]


async def test_start_has_the_keys_of_all(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    path = f"/v1/apps/myapp/machines/{machine['id']}"
    await client.post(f"{path}/stop")
    answer = (await client.post(f"{path}/start")).json()
    assert {"previous_state", "migrated", "new_host", "message", "status"} <= set(answer)
    assert answer["previous_state"] == "stopped"


async def test_deleting(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    path = f"/v1/apps/myapp/machines/{machine['id']}"
    refused = await client.delete(path)
    assert refused.status_code == 412
    assert "failed_precondition: unable to destroy machine, not currently stopped" in refused.json()["error"]
    assert (await client.delete(f"{path}?kill=true")).json() == {"ok": True}


async def test_metadata_keys_answer_nothing(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    path = f"/v1/apps/myapp/machines/{machine['id']}/metadata/role"
    for answer in (await client.post(path, json={"value": "web"}), await client.delete(path)):
        assert (answer.status_code, answer.content) == (204, b"")


async def test_regions_in_both_spellings(client: httpx2.AsyncClient) -> None:
    found = (await client.get("/v1/platform/regions")).json()
    assert found["Regions"] == found["regions"]
    assert found["Nearest"] == found["nearest"]


async def test_the_secrets_version_in_both_spellings(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    found = (await client.post("/v1/apps/myapp/secrets", json={"values": {"KEY": "v"}})).json()
    assert found["Version"] == found["version"]


@pytest.mark.parametrize(
    ("sent", "said"), [(False, "off"), (True, "stop"), ("off", "off"), ("stop", "stop"), ("suspend", "suspend")]
)
async def test_autostop_in_every_form(
    client: httpx2.AsyncClient, machine: dict[str, Any], sent: object, said: str
) -> None:
    service = {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": sent,
        "ports": [{"port": 80, "handlers": ["http"]}],
    }
    answer = await client.post("/v1/apps/myapp/machines", json={"config": CONFIG | {"services": [service]}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["config"]["services"][0]["autostop"] == said


@pytest.mark.parametrize("signal", [9, "9", "SIGKILL", "KILL", 15, "SIGTERM"])
async def test_signals_by_name_and_number(client: httpx2.AsyncClient, machine: dict[str, Any], signal: object) -> None:
    answer = await client.post(f"/v1/apps/myapp/machines/{machine['id']}/signal", json={"signal": signal})
    assert answer.status_code == 200, answer.text


async def test_what_fly_go_sends_with_every_request(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    headers = {"Cookie": "fly_flaps_affinity=abc", "Fly-Force-Instance-Id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
    answer = await client.get(f"/v1/apps/myapp/machines/{machine['id']}", headers=headers)
    assert answer.status_code == 200
    assert re.fullmatch(r"\S+", answer.headers["fly-request-id"])


@pytest.mark.parametrize("command", [{"cmd": "echo a b"}, {"command": ["echo", "a b"]}, {"cmd": "true", "timeout": 5}])
async def test_exec_in_both_forms(
    client: httpx2.AsyncClient, machine: dict[str, Any], command: dict[str, object]
) -> None:
    answer = await client.post(f"/v1/apps/myapp/machines/{machine['id']}/exec", json=command)
    assert answer.status_code == 200, answer.text


async def test_null_is_the_same_as_absent(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    body = {"config": CONFIG | {"env": None, "services": None, "init": None}, "name": None, "region": None}
    answer = await client.post("/v1/apps/myapp/machines", json=body)
    assert answer.status_code == 200, answer.text


async def test_an_unknown_route_is_answered_before_the_token(stranger: httpx2.AsyncClient) -> None:
    for answer in (await stranger.get("/v1/nothing"), await stranger.put("/v1/apps")):
        assert (answer.status_code, answer.text.strip()) == (404, "404 page not found")
