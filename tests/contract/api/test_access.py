"""Every route, asked by everybody: no token, a stranger's, a reader's, a deployer's, an admin's, the operator's.

A route without a row in `WHO` fails here. The row names the least role that may call it. Routes below
`/v1/apps/{app}` follow `roost.api.access` without an entry there: GET is a reader's, any other method a deployer's;
what is below neither an app nor an org is the operator's unless it has an entry.
"""

from __future__ import annotations

import re

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_orgs import ORG
from tests.contract.api.test_every_route import GUARDED, example

from roost.api.app import _ROUTES

READER, DEPLOYER, ADMIN, OPERATOR, NOBODY, CLOUD_READER = "reader", "deployer", "admin", "operator", "nobody", "cloud"
A = "/v1/apps/{app}"
M = A + "/machines/{machine_id}"
V = A + "/volumes/{volume_id}"
O = "/v1/orgs/{slug}"  # noqa: E741
WEBSOCKETS = ("GET", M + "/console"), ("GET", M + "/proxy")

WHO: dict[tuple[str, str], str] = {
    ("GET", "/metrics"): CLOUD_READER,
    ("GET", "/v1/status"): READER,
    ("POST", "/v1/admin/rotate-keys"): OPERATOR,
    ("GET", "/v1/admin/domain"): CLOUD_READER,
    ("POST", "/v1/admin/domain/check"): OPERATOR,
    ("GET", "/v1/tokens/current"): READER,
    ("POST", "/v1/tokens/authenticate"): DEPLOYER,
    ("POST", "/v1/tokens/authorize"): DEPLOYER,
    ("POST", "/v1/tokens/kms"): DEPLOYER,
    ("POST", "/v1/tokens/oidc"): NOBODY,  # a machine, through its own socket
    ("GET", "/v1/audit"): READER,
    ("GET", "/v1/tokens"): READER,
    ("POST", "/v1/tokens"): ADMIN,
    ("GET", "/v1/tokens/{token_id}"): READER,
    ("DELETE", "/v1/tokens/{token_id}"): ADMIN,
    ("GET", "/v1/orgs"): READER,
    ("POST", "/v1/orgs"): OPERATOR,
    ("GET", O): READER,
    ("DELETE", O): ADMIN,
    ("GET", O + "/members"): READER,
    ("POST", O + "/members"): ADMIN,
    ("DELETE", O + "/members/{user}"): ADMIN,
    ("GET", O + "/machines"): READER,
    ("GET", O + "/volumes"): READER,
    ("GET", "/v1/platform/regions"): READER,
    ("GET", "/v1/platform/certificate_authority"): READER,
    ("POST", "/v1/platform/placements"): DEPLOYER,
    ("GET", "/v1/apps"): READER,
    ("POST", "/v1/apps"): DEPLOYER,
    ("GET", A): READER,
    ("DELETE", A): ADMIN,
    ("GET", A + "/status"): READER,
    ("GET", A + "/releases"): READER,
    ("GET", A + "/logs"): READER,
    ("GET", A + "/metrics"): READER,
    ("GET", A + "/requests"): READER,
    ("GET", A + "/requests/summary"): READER,
    ("POST", A + "/deploy_token"): ADMIN,
    ("POST", A + "/deploys"): DEPLOYER,
    ("POST", A + "/rollback"): DEPLOYER,
    ("GET", A + "/scale"): READER,
    ("POST", A + "/scale"): DEPLOYER,
    ("GET", A + "/autoscale"): READER,
    ("PUT", A + "/autoscale/{group}"): DEPLOYER,
    ("DELETE", A + "/autoscale/{group}"): DEPLOYER,
    ("GET", A + "/secretkeys"): READER,
    ("GET", A + "/secretkeys/{name}"): READER,
    ("POST", A + "/secretkeys/{name}"): DEPLOYER,
    ("DELETE", A + "/secretkeys/{name}"): DEPLOYER,
    **{("POST", A + "/secretkeys/{name}/" + verb): DEPLOYER for verb in ("encrypt", "decrypt", "generate", "sign")},
    ("POST", A + "/secretkeys/{name}/verify"): DEPLOYER,
    ("GET", A + "/secrets"): READER,
    ("POST", A + "/secrets"): DEPLOYER,
    ("GET", A + "/secrets/{name}"): READER,
    ("POST", A + "/secrets/{name}"): DEPLOYER,
    ("DELETE", A + "/secrets/{name}"): DEPLOYER,
    ("GET", A + "/certificates"): READER,
    ("GET", A + "/certificates/{hostname}"): READER,
    **{("POST", f"{A}/certificates/{last}"): DEPLOYER for last in ("acme", "custom", "{hostname}/check")},
    **{("DELETE", f"{A}/certificates/{{hostname}}{last}"): DEPLOYER for last in ("", "/acme", "/custom")},
    **{("GET", f"{A}/{noun}"): READER for noun in ("network_policies", "network_policies/{policy_id}")},
    ("POST", A + "/network_policies"): DEPLOYER,
    ("DELETE", A + "/network_policies/{policy_id}"): DEPLOYER,
    ("GET", A + "/ip_assignments"): READER,
    ("POST", A + "/ip_assignments"): DEPLOYER,
    ("DELETE", A + "/ip_assignments/{ip}"): DEPLOYER,
    ("GET", A + "/volumes"): READER,
    ("POST", A + "/volumes"): DEPLOYER,
    ("GET", V): READER,
    ("PUT", V): DEPLOYER,
    ("DELETE", V): DEPLOYER,
    ("PUT", V + "/extend"): DEPLOYER,
    ("GET", V + "/snapshots"): READER,
    ("POST", V + "/snapshots"): DEPLOYER,
    ("GET", A + "/machines"): READER,
    ("POST", A + "/machines"): DEPLOYER,
    ("GET", M): READER,
    ("POST", M): DEPLOYER,
    ("DELETE", M): DEPLOYER,
    **{("POST", f"{M}/{verb}"): DEPLOYER for verb in ("start", "stop", "restart", "suspend", "signal", "exec")},
    **{("POST", f"{M}/{verb}"): DEPLOYER for verb in ("cordon", "uncordon", "lease", "metadata/{key}")},
    **{("GET", f"{M}/{noun}"): READER for noun in ("lease", "metadata", "metadata/{key}", "versions", "ps", "memory")},
    **{("GET", f"{M}/{noun}"): READER for noun in ("wait", "events", "runs")},
    ("DELETE", M + "/lease"): DEPLOYER,
    ("PUT", M + "/metadata"): DEPLOYER,
    ("PATCH", M + "/metadata"): DEPLOYER,
    ("DELETE", M + "/metadata/{key}"): DEPLOYER,
    ("PUT", M + "/memory"): DEPLOYER,
    ("POST", M + "/memory/reclaim"): DEPLOYER,
    **dict.fromkeys(WEBSOCKETS, DEPLOYER),
    ("POST", "/v1/sources"): DEPLOYER,
    ("POST", "/v1/sources/{source_id}/plan"): DEPLOYER,
    ("GET", "/v1/operations"): READER,
    ("GET", "/v1/operations/{operation_id}"): READER,
    ("GET", "/v1/operations/{operation_id}/events"): READER,
    ("POST", "/v1/operations/{operation_id}/cancel"): DEPLOYER,
    ("GET", "/v1/images"): CLOUD_READER,
    ("POST", "/v1/images/pull"): OPERATOR,
    ("POST", "/v1/images/refresh"): OPERATOR,
    ("POST", "/v1/images/collect"): OPERATOR,
}
CALLERS = {
    READER: "the-readers-token",
    DEPLOYER: "the-deployers-token",
    ADMIN: "the-admins-token",
    OPERATOR: "the-operators-token",
}
RANK = [READER, DEPLOYER, ADMIN, OPERATOR]
FILTERED = {path for path in ("/v1/status", "/v1/tokens/current", "/v1/tokens", "/v1/orgs", "/v1/apps")} | {
    "/v1/audit",
    "/v1/operations",
    "/v1/platform/regions",
    "/v1/platform/certificate_authority",
    "/v1/platform/placements",
    "/v1/sources",
    "/v1/sources/{source_id}/plan",
    "/v1/tokens/authenticate",
    "/v1/tokens/authorize",
    "/v1/tokens/kms",
}  # what answers any org's token, with what that sees
BODIES = {  # where the body says which org is meant
    ("POST", "/v1/apps"): b'{"name": "another", "org_slug": "acme"}',
    ("POST", "/v1/tokens"): b'{"type": "org", "org_slug": "acme"}',
}


@pytest.fixture
def control(control: FakeControl) -> FakeControl:
    control.apps.create("myapp", ORG)
    control.apps.create("theirs", "other")
    control.world.operation("deploy", "myapp")
    return control


def path_of(control: FakeControl, path: str) -> str:
    """The path with things of the org in it that are really there, as far as the answer depends on that."""
    path = path.replace("{slug}", ORG)
    operation = next(iter(control.world.operations))
    path = path.replace("{operation_id}", operation)
    if "{token_id}" in path:
        from roost.model.identity import NewToken, Role

        path = path.replace("{token_id}", control.tokens.issue(NewToken("x", Role.READER, ORG))[0].id)
    return example(path)


async def ask(api: FastAPI, control: FakeControl, method: str, path: str, token: str) -> int:
    if path.endswith(("/console", "/proxy")):
        return console(api, path_of(control, path), token)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        body = BODIES.get((method, path), b"{ not json" if method != "GET" else None)
        return (await client.request(method, path_of(control, path), content=body)).status_code


def console(api: FastAPI, path: str, token: str) -> int:
    headers = {"Host": "127.0.0.1"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with TestClient(api, base_url="http://127.0.0.1").websocket_connect(path, headers=headers):
            return 101
    except WebSocketDenialResponse as refused:
        return refused.status_code


def test_every_route_has_a_row() -> None:
    routes_of = [route for module in _ROUTES for route in module.router.routes]
    routes = {*GUARDED, *(("GET", route.path) for route in routes_of if isinstance(route, APIWebSocketRoute))}
    assert not routes - set(WHO), "a new route: say in WHO who may call it, and see roost.api.access"
    assert not set(WHO) - routes, "a row for a route that there is not"


@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_without_a_token(api: FastAPI, control: FakeControl, method: str, path: str) -> None:
    assert await ask(api, control, method, path, "") == 401
    assert await ask(api, control, method, path, "no-token-of-ours") == 401


@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_with_a_strangers_token(api: FastAPI, control: FakeControl, method: str, path: str) -> None:
    status = await ask(api, control, method, path, "the-strangers-token")
    if (method, path) in BODIES:
        assert status == 403
    elif path in FILTERED and WHO[method, path] not in (OPERATOR, NOBODY):
        assert status not in (401, 403)
    elif "{token_id}" in path or "{operation_id}" in path:
        assert status == 404  # ids tell nothing
    else:
        assert status == 403


@pytest.mark.parametrize("caller", RANK)
@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_with_a_token_of_each_role(
    api: FastAPI, control: FakeControl, method: str, path: str, caller: str
) -> None:
    needed = WHO[method, path]
    status = await ask(api, control, method, path, CALLERS[caller])
    needed = OPERATOR if needed == CLOUD_READER else needed
    if needed != NOBODY and RANK.index(caller) >= RANK.index(needed):
        assert status not in (401, 403)
    elif "{token_id}" in path:
        assert status in (403, 404)
    else:
        assert status == 403


@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_with_a_token_of_one_app(api: FastAPI, control: FakeControl, method: str, path: str) -> None:
    """It is a deployer's below its app, and nothing below another."""
    status = await ask(api, control, method, path, "the-apps-token")
    if path.startswith(A):
        assert (status == 403) is (WHO[method, path] == ADMIN)
        assert await ask(api, control, method, path.replace("{app}", "theirs"), "the-apps-token") == 403
    elif path.startswith(O) and path not in (O + "/machines", O + "/volumes"):
        assert status == 403


@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_with_a_token_for_exec(api: FastAPI, control: FakeControl, method: str, path: str) -> None:
    """It looks at one machine and runs commands there."""
    if not path.startswith(A):
        return
    status = await ask(api, control, method, path, "the-exec-token")
    allowed = path.startswith(M) and (path == M + "/exec" or (method == "GET" and path != M + "/proxy"))
    assert (status != 403) is allowed
    other = path.replace("{machine_id}", "00000000000002")
    assert await ask(api, control, method, other, "the-exec-token") == (403 if other != path or not allowed else status)


@pytest.mark.parametrize(("method", "path"), sorted(WHO))
async def test_with_a_token_for_another_address(api: FastAPI, control: FakeControl, method: str, path: str) -> None:
    assert await ask(api, control, method, path, "the-token-at-home") in (403, 404)


async def names(api: FastAPI, path: str, token: str, key: str, field: str) -> list[str]:
    headers = {"Authorization": f"FlyV1 {token}"}
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        answer = (await client.get(path)).json()
    return [item[field] for item in (answer[key] if key else answer)]


async def test_listings_hold_what_the_token_sees(api: FastAPI, control: FakeControl) -> None:
    control.apps.create("blog", ORG)
    control.world.operation("deploy", "theirs")
    control.world.operation("image.pull", "")
    assert await names(api, "/v1/apps", "the-readers-token", "apps", "name") == ["myapp", "blog"]
    assert await names(api, "/v1/apps", "the-apps-token", "apps", "name") == ["myapp"]
    assert await names(api, "/v1/apps", "the-strangers-token", "apps", "name") == ["theirs"]
    assert await names(api, "/v1/apps?org_slug=acme", "the-strangers-token", "apps", "name") == []
    assert await names(api, "/v1/operations", "the-readers-token", "", "app") == ["myapp"]
    assert await names(api, "/v1/operations?app=theirs", "the-readers-token", "", "app") == []
    assert sorted(await names(api, "/v1/operations", "the-operators-token", "", "app")) == ["", "myapp", "theirs"]
    assert await names(api, "/v1/orgs", "the-readers-token", "orgs", "slug") == [ORG]


async def test_of_several_tokens_the_first_that_may_counts(api: FastAPI, control: FakeControl) -> None:
    path, first = "/v1/apps/theirs", "the-readers-token"
    assert await ask(api, control, "GET", path, first) == 403
    assert await ask(api, control, "GET", path, f"{first},the-strangers-token") == 200
    assert await ask(api, control, "GET", path, f"unknown, {first}") == 403
    assert await ask(api, control, "GET", path, ",".join(["unknown"] * 17)) == 401


async def test_a_taken_name_is_not_hidden_and_a_free_one_is_free(api: FastAPI, control: FakeControl) -> None:
    assert await ask(api, control, "GET", "/v1/apps/theirs", "the-readers-token") == 403
    assert await ask(api, control, "GET", "/v1/apps/free-name", "the-readers-token") == 404


async def test_tokens_are_made_shown_once_and_revoked(api: FastAPI, control: FakeControl) -> None:
    headers = {"Authorization": "Bearer the-admins-token"}
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        made = (await client.post("/v1/apps/myapp/deploy_token", json={"expiry": "2h"})).json()
        assert re.fullmatch(r"secret-\w+", made["token"])
        listed = await client.get("/v1/tokens")
        assert made["token"] not in listed.text
        assert [token["id"] for token in listed.json()["tokens"]] == [made["id"]]
        assert listed.json()["tokens"][0]["apps"] == ["myapp"]
        own = {"Authorization": f"Bearer {made['token']}"}
        current = (await client.get("/v1/tokens/current", headers=own)).json()["tokens"]
        assert [(token["org_slug"], token["apps"]) for token in current] == [(ORG, ["myapp"])]
        assert (await client.post("/v1/apps/myapp/deploy_token", headers=own)).status_code == 403
        for body, word in (
            ({"type": "app", "org_slug": ORG}, "apps"),
            ({"type": "org"}, "org_slug"),
            ({"type": "cloud", "org_slug": ORG}, "org_slug"),
            ({"type": "user"}, "user"),
            ({"type": "readonly", "role": "admin"}, "role"),
            ({"type": "org", "org_slug": ORG, "expiry": "101y"}, "expiry"),
            ({"type": "org", "org_slug": ORG, "machine_id": "00000000000001"}, "machine_id"),
        ):
            answer = await client.post("/v1/tokens", json=body)
            assert (answer.status_code, word in answer.json()["error"]) == (400, True)
        assert (await client.post("/v1/tokens", json={"type": "cloud"})).status_code == 403
        assert (await client.delete(f"/v1/tokens/{made['id']}")).json()["revoked_at"]
        assert (await client.get("/v1/tokens/current", headers=own)).status_code == 401


async def test_orgs_and_members(api: FastAPI, control: FakeControl) -> None:
    headers = {"Authorization": "Bearer the-operators-token"}
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        assert (await client.post("/v1/orgs", json={"slug": "lab", "name": "The lab"})).status_code == 201
        assert (await client.post("/v1/orgs", json={"slug": "lab"})).json()["status"] == "name_taken"
        assert (await client.post("/v1/orgs", json={"slug": "a b"})).status_code == 400
        assert (await client.post("/v1/orgs", json={})).status_code == 400
        added = await client.post("/v1/orgs/lab/members", json={"user": "ann@example.com", "role": "admin"})
        assert added.status_code == 201
        assert (await client.post("/v1/orgs/lab/members", json={"user": "x", "role": "king"})).status_code == 400
        found = (await client.get("/v1/orgs/lab")).json()
        assert [(member["user"], member["role"]) for member in found["members"]] == [("ann@example.com", "admin")]
        assert (await client.delete("/v1/orgs/lab/members/ann@example.com")).status_code == 204
        assert (await client.delete("/v1/orgs/lab/members/ann@example.com")).status_code == 404
        assert (await client.delete("/v1/orgs/lab")).status_code == 204
        assert (await client.get("/v1/orgs/lab")).status_code == 404
