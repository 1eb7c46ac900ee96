"""The audit log over the API: what becomes a line, what never does, who sees it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl

SECRET = "hunter2-is-no-password"


def client(api: FastAPI, token: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=api, client=("192.0.2.7", 4711))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def lines(api: FastAPI, token: str, **query: str | int) -> list[dict[str, Any]]:
    async with client(api, token) as http:
        answer = await http.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


@pytest.fixture
def api(new_api: FastAPI) -> FastAPI:
    return new_api


@pytest.fixture
def control(control: FakeControl) -> FakeControl:
    control.apps.create("myapp", "acme")
    control.apps.create("theirs", "other")
    return control


async def test_a_change_is_a_line_with_who_what_when_from_where_and_result(api: FastAPI, control: FakeControl) -> None:
    async with client(api, "the-deployers-token") as http:
        answer = await http.post("/v1/apps/myapp/secrets?x=" + SECRET, json={"values": {"A": SECRET}})
        assert answer.status_code == 200
        await http.get("/v1/apps/myapp/secrets")  # looking is no line
    (line,) = await lines(api, "the-admins-token")
    assert line["who"] == "org-deployer"
    assert line["token_id"] == "tok_org_deployer"
    assert line["action"] == "POST /v1/apps/{app}/secrets"
    assert line["subject"] == {"app": "myapp"}
    assert (line["app"], line["org_slug"], line["source_address"]) == ("myapp", "acme", "192.0.2.7")
    assert (line["status"], line["result"]) == (200, "ok")
    assert line["request_id"] == answer.headers["fly-request-id"]
    assert line["at"].startswith("20")
    assert SECRET not in repr(control.audit.entries)


@pytest.mark.parametrize(
    ("token", "path", "status", "result"),
    [
        ("the-readers-token", "/v1/apps/myapp/rollback", 403, "refused"),
        ("the-operators-token", "/v1/apps/nothing/rollback", 404, "failed"),
    ],
)
async def test_what_was_refused_or_failed_is_a_line(
    api: FastAPI, control: FakeControl, token: str, path: str, status: int, result: str
) -> None:
    async with client(api, token) as http:
        assert (await http.post(path, json={})).status_code == status
    (line,) = await lines(api, "the-operators-token")
    assert (line["status"], line["result"]) == (status, result)


async def test_what_was_made_is_named(api: FastAPI, control: FakeControl) -> None:
    async with client(api, "the-operators-token") as http:
        await http.post("/v1/apps", json={"name": "new", "org_slug": "acme"})
        await http.post("/v1/orgs", json={"slug": "lab"})
        await http.post("/v1/orgs/lab/members", json={"user": "ann", "role": "admin"})
        made = (await http.post("/v1/tokens", json={"type": "org", "org_slug": "lab"})).json()
        await http.delete(f"/v1/tokens/{made['id']}")
    revoked, token, member, org, app = await lines(api, "the-operators-token")
    assert (app["subject"], app["app"], app["org_slug"]) == ({"app": "new", "slug": "acme"}, "new", "acme")
    assert (org["subject"], org["org_slug"]) == ({"slug": "lab"}, "lab")
    assert member["subject"] == {"slug": "lab", "user": "ann", "role": "admin"}
    assert (token["subject"], token["org_slug"]) == ({"slug": "lab", "token_id": made["id"]}, "lab")
    assert (revoked["subject"], revoked["org_slug"]) == ({"token_id": made["id"], "slug": "lab"}, "lab")
    assert made["token"] not in repr(control.audit.entries)


async def test_who_has_no_token_leaves_no_line(api: FastAPI, control: FakeControl) -> None:
    for token in ("", "unknown"):
        async with client(api, token) as http:
            assert (await http.post("/v1/apps/myapp/rollback", json={})).status_code == 401
    assert control.audit.entries == []


async def test_a_crash_is_a_line(api: FastAPI, control: FakeControl) -> None:
    async with client(api, "the-operators-token") as http:
        made = (await http.post("/v1/apps/myapp/machines", json={"config": {"image": "x"}})).json()["id"]
        await http.post(f"/v1/apps/myapp/machines/{made}/exec", json={"command": ["crash"]})
    line = (await lines(api, "the-operators-token"))[0]
    assert (line["status"], line["subject"]) == (500, {"app": "myapp", "machine_id": made})
    assert "crash" not in repr(control.audit.entries)


async def test_each_sees_the_lines_of_its_own_orgs_and_apps(api: FastAPI, control: FakeControl) -> None:
    control.apps.create("blog", "acme")
    async with client(api, "the-admins-token") as http:
        await http.post("/v1/apps/myapp/rollback", json={})
        await http.post("/v1/apps/blog/rollback", json={})
    async with client(api, "the-strangers-token") as http:
        await http.post("/v1/apps/theirs/rollback", json={})
    assert [line["app"] for line in await lines(api, "the-operators-token")] == ["theirs", "blog", "myapp"]
    assert [line["app"] for line in await lines(api, "the-readers-token")] == ["blog", "myapp"]
    assert [line["app"] for line in await lines(api, "the-strangers-token")] == ["theirs"]
    assert [line["app"] for line in await lines(api, "the-apps-token")] == ["myapp"]
    assert await lines(api, "the-strangers-token", org_slug="acme") == []
    assert await lines(api, "the-apps-token", app="blog") == []
    assert [line["app"] for line in await lines(api, "the-operators-token", app="blog")] == ["blog"]
    async with client(api, "the-exec-token") as http:
        assert (await http.get("/v1/audit")).status_code == 403


async def test_pages(api: FastAPI, control: FakeControl) -> None:
    async with client(api, "the-admins-token") as http:
        for _ in range(5):
            await http.post("/v1/apps/myapp/rollback", json={})
        seen, cursor = [], ""
        for size in (2, 2, 1):
            page = (await http.get("/v1/audit", params={"limit": 2, "cursor": cursor})).json()
            assert len(page["entries"]) == size
            seen += [line["id"] for line in page["entries"]]
            cursor = page["next_cursor"]
        assert cursor == ""
        assert len(set(seen)) == 5
        for query in ({"cursor": "x"}, {"limit": 0}, {"limit": 1001}, {"app": "No App"}, {"since": "yesterday"}):
            assert (await http.get("/v1/audit", params=query)).status_code == 400
