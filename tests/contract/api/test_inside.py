"""What a machine may do through its own socket, and what it may not."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_inside import own_socket
from tests.contract.api.fake_world import ADMIN, READER
from tests.contract.api.test_every_route import GUARDED, example

from roost.api import inside
from roost.model.machine_config import MachineConfig


@pytest.fixture
def machine(control: FakeControl) -> str:
    control.apps.create("mine")
    control.apps.create("other")
    return control.machines.create("mine", MachineConfig(image="roost/base:bookworm")).id


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_a_token_only_what_is_listed(
    api: FastAPI, control: FakeControl, machine: str, method: str, path: str
) -> None:
    asked = path.replace("{app}", "mine").replace("{machine_id}", machine)
    async with own_socket(api, machine) as door:
        answer = await door.request(method, example(asked), json={} if method in ("POST", "PUT") else None)
    if (method, path) in inside.ALLOWED:
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert (answer.status_code, answer.json()["status"]) == (403, "forbidden")
        assert answer.json()["hint"]


def test_what_is_listed_exists() -> None:
    assert set(GUARDED) >= inside.ALLOWED


@pytest.mark.parametrize(("method", "path"), sorted(inside.ALLOWED))
async def test_another_machine_or_app_is_refused(
    api: FastAPI, control: FakeControl, machine: str, method: str, path: str
) -> None:
    if "{app}" not in path:
        return
    other = control.machines.create("mine", MachineConfig(image="roost/base:bookworm")).id
    stranger = control.machines.create("other", MachineConfig(image="roost/base:bookworm")).id
    tried = [("other", machine), ("nowhere", machine)]
    if "{machine_id}" in path:
        tried += [("mine", other), ("other", stranger)]
    async with own_socket(api, machine) as door:
        for app, machine_id in tried:
            asked = example(path.replace("{app}", app).replace("{machine_id}", machine_id))
            answer = await door.request(method, asked, json={"signal": "SIGHUP"} if method == "POST" else None)
            assert answer.status_code == 403, (app, machine_id, answer.text)


async def test_a_token_counts_as_everywhere(api: FastAPI, machine: str) -> None:
    for headers, status in ((ADMIN, 200), (READER, 200), ({"Authorization": "Bearer wrong"}, 401)):
        async with own_socket(api, machine, **headers) as door:
            assert (await door.get("/v1/apps")).status_code == status
    async with own_socket(api, machine, **READER) as door:
        assert (await door.post(f"/v1/apps/mine/machines/{machine}/stop")).status_code == 403


async def test_identity_tokens(api: FastAPI, client: httpx2.AsyncClient, machine: str) -> None:
    async with own_socket(api, machine) as door:
        bare = await door.post("/v1/tokens/oidc")
        assert (bare.status_code, bare.text) == (200, f"token.{machine}..False")
        assert bare.headers["content-type"].startswith("text/plain")
        assert bare.headers["cache-control"] == "no-store"
        asked = await door.post(
            "/v1/tokens/oidc",
            content='{"aud": "me", "aws_principal_tags": true}',
            headers={"Content-Type": "application/x-www-form-urlencoded"},  # what curl -d says
        )
        assert asked.text == f"token.{machine}.me.True"
        wrong = await door.post("/v1/tokens/oidc", json={"audience": "me"})
        assert (wrong.status_code, "audience" in wrong.json()["error"]) == (400, True)
    outside = await client.post("/v1/tokens/oidc", json={"aud": "me"})
    assert outside.status_code == 403


async def test_tokens_for_the_use_of_secret_keys(api: FastAPI, client: httpx2.AsyncClient, machine: str) -> None:
    async with own_socket(api, machine) as door:
        own = await door.post("/v1/tokens/kms")
        assert (own.status_code, own.text, own.headers["cache-control"]) == (200, f"keys.{machine}", "no-store")
    old = await client.post("/v1/tokens/kms")  # its token is of the kind that can't be weakened
    assert (old.status_code, "weakened" in old.json()["error"]) == (400, True)
    several = await client.post("/v1/tokens/kms", headers={"Authorization": ADMIN["Authorization"] + ",another"})
    assert (several.status_code, "several tokens" in several.json()["error"]) == (400, True)


async def test_what_a_request_says_makes_it_no_machine(client: httpx2.AsyncClient, machine: str) -> None:
    answer = await client.post("/v1/tokens/oidc", headers={"source_machine": machine, "X-Source-Machine": machine})
    assert answer.status_code == 403


async def test_discovery_needs_no_token(stranger: httpx2.AsyncClient) -> None:
    for path in ("/.well-known/openid-configuration", "/.well-known/jwks"):
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert "max-age" in answer.headers["cache-control"]


async def test_a_machine_that_asks_all_the_time_is_slowed_down(api: FastAPI, machine: str) -> None:
    async with own_socket(api, machine) as door:
        answers = [await door.get("/v1/apps/mine") for _ in range(int(inside.RATE.burst) + 40)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"1"}
