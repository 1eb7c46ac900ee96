"""Asking what somebody's token is, and what it is good for; and the org of a new app."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_orgs import ORG


@pytest.fixture(autouse=True)
def app(control: FakeControl) -> None:
    control.apps.create("myapp", ORG)


async def authorize(client: httpx2.AsyncClient, token: str, **access: Any) -> httpx2.Response:
    return await client.post("/v1/tokens/authorize", json={"header": f"Bearer {token}", "access": access})


async def test_whose_token(client: httpx2.AsyncClient) -> None:
    found = await client.post("/v1/tokens/authenticate", json={"header": "FlyV1 the-deployers-token"})
    assert found.status_code == 200
    assert (found.json()["token_id"], found.json()["tokens"][0]["org_slug"]) == ("tok_org_deployer", ORG)
    assert bytes(found.json()["nonce"]["kid"]) == b"tok_org_deployer"
    for header in ("Bearer nobody's", "Basic a", "x"):
        refused = await client.post("/v1/tokens/authenticate", json={"header": header})
        assert (refused.status_code, refused.json()["status"]) == (401, "unauthorized")
        assert "nobody's" not in refused.text


@pytest.mark.parametrize(
    ("token", "access", "code"),
    [
        ("the-readers-token", {"app_name": "myapp", "action": 1}, 200),
        ("the-readers-token", {"app_name": "myapp"}, 200),
        ("the-readers-token", {"app_name": "myapp", "action": 2}, 403),
        ("the-readers-token", {"app_name": "myapp", "command": ["ls"]}, 403),
        ("the-deployers-token", {"app_name": "myapp", "action": 7}, 200),
        ("the-deployers-token", {"app_name": "myapp", "action": 8}, 403),
        ("the-deployers-token", {"app_name": "myapp", "machine_id": "00000000000001", "action": 31}, 200),
        ("the-deployers-token", {"app_name": "myapp", "command": ["ls"]}, 200),
        ("the-deployers-token", {"org_slug": ORG, "action": 1}, 200),
        ("the-deployers-token", {"org_slug": ORG, "action": 2}, 403),
        ("the-admins-token", {"org_slug": ORG, "action": 31}, 200),
        ("the-admins-token", {"app_name": "myapp", "action": 31}, 200),
        ("the-strangers-token", {"app_name": "myapp", "action": 1}, 403),
        ("the-strangers-token", {"org_slug": ORG, "action": 1}, 403),
        ("the-exec-token", {"app_name": "myapp", "machine_id": "00000000000001", "command": ["ls"]}, 200),
        ("the-exec-token", {"app_name": "myapp", "machine_id": "00000000000002", "command": ["ls"]}, 403),
        ("the-token-at-home", {"app_name": "myapp", "action": 1}, 403),
        ("the-admins-token", {}, 400),
        ("the-admins-token", {"action": 32, "app_name": "myapp"}, 400),
        ("the-admins-token", {"machine_id": "00000000000001"}, 400),
        ("the-admins-token", {"app_name": "myapp", "org_slug": "other"}, 400),
        ("the-admins-token", {"app_name": "myapp", "storage_object": "bucket"}, 400),
        ("the-admins-token", {"app_name": "not-there"}, 404),
        ("the-admins-token", {"app_name": "myapp", "volume_id": "vol_0123456789abcdef"}, 404),
        ("nobody's", {"app_name": "myapp"}, 401),
    ],
)
async def test_what_a_token_is_good_for(
    client: httpx2.AsyncClient, token: str, access: dict[str, Any], code: int
) -> None:
    answer = await authorize(client, token, **access)
    assert answer.status_code == code, answer.text
    if code == 200:
        assert answer.json()["access"]["action"] == access.get("action", 0)
        assert answer.json()["verified_token"]["token_id"].startswith("tok_")
    else:
        assert set(answer.json()) == {"error", "status", "hint"}
        assert answer.json()["error"]


async def test_one_of_several_tokens_may(client: httpx2.AsyncClient) -> None:
    answer = await authorize(client, "the-readers-token,the-deployers-token", app_name="myapp", action=2)
    assert answer.json()["verified_token"]["token_id"] == "tok_org_deployer"


async def test_a_new_app_is_in_the_tokens_org(stranger: httpx2.AsyncClient, control: FakeControl) -> None:
    headers = {"Authorization": "Bearer the-deployers-token"}
    made = await stranger.post("/v1/apps", json={"name": "unnamed"}, headers=headers)
    assert (made.status_code, made.json()["organization"]["slug"]) == (201, ORG)
    refused = await stranger.post("/v1/apps", json={"name": "b", "org_slug": "personal"}, headers=headers)
    assert refused.status_code == 403
    reader = await stranger.post("/v1/apps", json={"name": "c"}, headers={"Authorization": "Bearer the-readers-token"})
    assert reader.status_code == 403
    several = control.tokens.callers["the-deployers-token"]
    several.orgs["other"] = several.role  # type: ignore[index]
    try:
        asked = await stranger.post("/v1/apps", json={"name": "d"}, headers=headers)
    finally:
        del several.orgs["other"]  # type: ignore[attr-defined]
    assert asked.status_code == 400
    assert "acme, other" in asked.json()["error"]
