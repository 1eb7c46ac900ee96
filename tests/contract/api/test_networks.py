"""Network policies and IP assignments: shapes and refusals."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

POLICIES, IPS = "/v1/apps/shop/network_policies", "/v1/apps/shop/ip_assignments"
WEB: dict[str, Any] = {
    "name": "web",
    "selector": {"all": True},
    "rules": [{"action": "allow", "direction": "ingress", "ports": [{"protocol": "tcp", "port": 80}]}],
}


@pytest.fixture(autouse=True)
def _apps(control: FakeControl) -> None:
    control.apps.create("shop")
    control.apps.create("other")


async def test_a_policy_is_made_shown_listed_and_removed(client: httpx2.AsyncClient) -> None:
    answer = await client.post(POLICIES, json=WEB)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made == WEB | {"id": made["id"], "created_at": made["created_at"]}
    assert (await client.get(f"{POLICIES}/{made['id']}")).json() == made
    assert (await client.get(POLICIES)).json() == [made]
    assert (await client.get(f"/v1/apps/other/network_policies/{made['id']}")).status_code == 404
    assert (await client.delete(f"/v1/apps/other/network_policies/{made['id']}")).status_code == 404
    assert (await client.delete(f"{POLICIES}/{made['id']}")).status_code == 204
    assert (await client.delete(f"{POLICIES}/{made['id']}")).status_code == 404
    assert (await client.get(POLICIES)).json() == []


async def test_names_are_taken_once(client: httpx2.AsyncClient) -> None:
    await client.post(POLICIES, json=WEB)
    again = await client.post(POLICIES, json=WEB)
    assert (again.status_code, again.json()["status"]) == (422, "name_taken")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../x"}, "name"),
        ({"selector": {}}, "selector"),
        ({"selector": {"machines": ["x"]}}, "machine ID"),
        ({"selector": {"region": "x"}}, "region"),
        ({"rules": []}, "rules"),
        ({"rules": [{"action": "deny", "direction": "ingress"}]}, "rules[0].action"),
        ({"rules": [{"action": "allow", "direction": "ingress", "cidr": "10.0.0.0/8"}]}, "cidr"),
        ({"priority": 1}, "priority"),
    ],
)
async def test_what_cannot_be_enforced_is_refused_by_name(
    client: httpx2.AsyncClient, change: dict[str, Any], said: str
) -> None:
    answer = await client.post(POLICIES, json=WEB | change)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize("path", [f"{POLICIES}/np_1", f"{POLICIES}/x%20y", "/v1/apps/none/network_policies"])
async def test_unknown_policies(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_the_shared_address(client: httpx2.AsyncClient) -> None:
    for _ in range(2):  # twice is the same as once
        answer = await client.post(IPS, json={"type": "shared_v4"})
        assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["ip"], made["shared"], made["egress"]) == ("203.0.113.7", True, False)
    assert (await client.get(IPS)).json() == {"ips": [made]}
    assert (await client.get("/v1/apps/other/ip_assignments")).json() == {"ips": []}
    assert (await client.delete(f"{IPS}/{made['ip']}")).status_code == 204
    assert (await client.delete(f"{IPS}/{made['ip']}")).status_code == 404
    assert (await client.get(IPS)).json() == {"ips": []}


@pytest.mark.parametrize("kind", ["v4", "v6", "egress_pair"])
async def test_addresses_that_a_server_does_not_have(client: httpx2.AsyncClient, kind: str) -> None:
    answer = await client.post(IPS, json={"type": kind})
    assert answer.status_code == 422
    assert kind in answer.json()["error"]
    assert answer.json()["hint"]


@pytest.mark.parametrize("body", [{}, {"type": "v5"}, {"type": "shared_v4", "network": "x"}, {"type": 4}])
async def test_bad_assignments(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post(IPS, json=body)).status_code == 400
