"""What holds for all routes: documented, behind a token, and answered before the body is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN, READER

from roost.api.app import create_api

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
PUBLIC = {("GET", "/healthz"), ("GET", "/.well-known/openid-configuration"), ("GET", "/.well-known/jwks")}
EXAMPLES = {
    "app": "myapp",
    "machine_id": "00000000000001",
    "volume_id": "vol_0123456789abcdef",
    "name": "KEY",
    "hostname": "www.shop.example",
    "key": "role",
    "group": "app",
    "slug": "personal",
    "policy_id": "np_0123456789abcdef",
    "ip": "203.0.113.7",
    "source_id": "src1",
    "token_id": "0123456789ab",
    "user": "ann",
    "operation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
}


def published() -> list[tuple[str, str]]:
    paths = create_api(FakeControl()).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def example(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: EXAMPLES[found[1]], path)


GUARDED = sorted(set(published()) - PUBLIC)


def test_docs_list_exactly_the_routes_there_are() -> None:
    rows = re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/\S*)`", DOCS.read_text(), re.MULTILINE)
    sockets = {("GET", f"/v1/apps/{{app}}/machines/{{machine_id}}/{name}") for name in ("console", "proxy")}
    assert set(rows) == set(published()) | sockets  # WebSockets are not in OpenAPI


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_needs_a_token_before_it_reads_the_body(stranger: httpx2.AsyncClient, method: str, path: str) -> None:
    answer = await stranger.request(method, example(path), content=b"{ not json")
    assert answer.status_code == 401
    assert answer.json()["status"] == "unauthorized"
    assert answer.json()["hint"]
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_reader_may_only_look(client: httpx2.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, example(path), headers=READER)
    if method == "GET":
        assert answer.status_code in (200, 404)
    else:
        assert answer.status_code == 403
        assert answer.json()["status"] == "forbidden"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "Bearer a\xe9b", "FlyV1 x" * 3000]
)
async def test_bad_tokens(stranger: httpx2.AsyncClient, header: str) -> None:
    answer = await stranger.get("/v1/apps", headers=[(b"Authorization", header.encode("latin-1"))])
    assert answer.status_code == 401
    assert "wrong" not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "FlyV1"])
async def test_both_schemes(stranger: httpx2.AsyncClient, scheme: str) -> None:
    token = ADMIN["Authorization"].partition(" ")[2]
    answer = await stranger.get("/v1/tokens/current", headers={"Authorization": f"{scheme} {token}"})
    assert answer.status_code == 200
    assert (
        answer.json()["tokens"][0] | {"token_id": "tok_admin", "user": "admin", "role": "admin"}
        == (answer.json()["tokens"][0])
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/apps/"),
        ("GET", "/nothing"),
        ("PUT", "/v1/apps"),
        ("OPTIONS", "/v1/apps"),
        ("GET", "/v1/apps/a/machines/00000000000001/console"),
        ("GET", "/docs"),
        ("GET", "/v1/apps/a%2Fb"),
    ],
)
async def test_unknown_paths_and_methods(stranger: httpx2.AsyncClient, method: str, path: str) -> None:
    answer = await stranger.request(method, path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_public_pages_tell_nothing_of_the_cloud(stranger: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("secret-project")
    health, page, document = [await stranger.get(path) for path in ("/healthz", "/", "/v1/openapi.json")]
    assert health.json() == {"ok": True}
    assert page.status_code == 200
    assert "Roost" in page.text
    assert document.json()["openapi"].startswith("3.")
    for answer in (health, page, document):
        assert "secret-project" not in answer.text


async def test_every_answer_has_its_own_request_id(stranger: httpx2.AsyncClient) -> None:
    ids = [(await stranger.get(path)).headers["fly-request-id"] for path in ("/healthz", "/nothing", "/v1/apps")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9A-Z]{26}", found) for found in ids)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4280", "localhost", "LOCALHOST:1", "[::1]:4280", "cloud.test", "cloud.test.:80"]
)
async def test_own_host_names(client: httpx2.AsyncClient, host: str) -> None:
    assert (await client.get("/v1/apps", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "", "[::2]", "evil.test:127.0.0.1"]
)
async def test_other_host_names_are_refused(client: httpx2.AsyncClient, host: str) -> None:
    answer = await client.get("/v1/apps", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["status"] == "misdirected_request"


async def test_no_cross_origin_access(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/apps", headers={"Origin": "https://evil.test"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_unexpected_failure_tells_the_request_id_only(
    client: httpx2.AsyncClient, control: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    control.apps.create("a")
    machine = (await client.post("/v1/apps/a/machines", json={"config": {"image": "x"}})).json()["id"]
    answer = await client.post(f"/v1/apps/a/machines/{machine}/exec", json={"command": ["crash"]})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["fly-request-id"]
    assert "internal detail" not in answer.text
    log = capsys.readouterr().out
    assert "internal detail" in log
    assert answer.headers["fly-request-id"] in log
    assert ADMIN["Authorization"].partition(" ")[2] not in log
