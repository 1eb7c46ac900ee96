"""Secrets, sources, deploys, releases, operations, images and the cloud over HTTP."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

SECRET = "s3cr3t-value-nobody-may-see"


@pytest.fixture(autouse=True)
def _app(control: FakeControl) -> None:
    control.apps.create("myapp")


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("app.py"))
    return out.getvalue()


async def test_secrets(client: httpx2.AsyncClient) -> None:
    url = "/v1/apps/myapp/secrets"
    made = await client.post(url, json={"values": {"A": SECRET, "B": "2", "GONE": None}})
    assert made.status_code == 200
    assert made.json()["version"] == made.json()["Version"] == 1
    assert [secret["name"] for secret in made.json()["secrets"]] == ["A", "B"]
    one = await client.post(f"{url}/C", json={"value": SECRET})
    assert one.status_code == 201
    assert set(one.json()) == {"name", "digest", "created_at", "updated_at", "version", "Version"}
    assert (one.json()["name"], one.json()["version"], one.json()["Version"]) == ("C", 2, 2)
    single = (await client.get(f"{url}/C")).json()
    assert single == {key: value for key, value in one.json().items() if key.lower() != "version"}
    assert (await client.get(f"{url}/NONE")).status_code == 404
    assert (await client.delete(f"{url}/NONE")).status_code == 404
    assert (await client.delete(f"{url}/A")).json() == {"version": 3, "Version": 3}
    listed = await client.get(url)
    assert [secret["name"] for secret in listed.json()["secrets"]] == ["B", "C"]
    assert set(listed.json()["secrets"][0]) == {"name", "digest", "created_at", "updated_at"}
    assert SECRET not in made.text + one.text + listed.text
    for path in (url, f"{url}/C"):
        assert (await client.get(path, params={"show_secrets": "true"})).status_code == 400
        assert (await client.get(path, params={"min_version": 3})).status_code == 200
        assert (await client.get(path, params={"min_version": 4})).status_code == 412
        assert (await client.get(path, params={"min_version": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {}),
        ("", {"values": {"1A": SECRET}}),
        ("", {"values": {"A B": SECRET}}),
        ("", {"values": {"A": 5}}),
        ("", {"values": [SECRET]}),
        ("", {"values": {"A": SECRET + "\0"}}),
        ("", {"values": {"A": SECRET}, "more": 1}),
        ("/A", {"value": None}),
        ("/A", {"value": [SECRET]}),
        ("/A", {"value": SECRET, "other": SECRET}),
        ("/1A", {"value": SECRET}),
    ],
)
async def test_secrets_that_are_refused(client: httpx2.AsyncClient, path: str, body: Any) -> None:
    answer = await client.post(f"/v1/apps/myapp/secrets{path}", json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "bad_input")
    assert SECRET not in answer.text


async def test_source_and_plan(client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/sources", content=archive(), headers={"Content-Type": "application/gzip"})
    assert made.status_code == 201
    assert made.json() == {"id": made.json()["id"], "bytes": len(archive()), "files": 1}
    url = f"/v1/sources/{made.json()['id']}/plan"
    answer = (await client.post(url, json={"config": None, "name": "myapp"})).json()
    assert answer["plan"]["stack"] == "python"
    assert answer["plan"]["evidence"]
    assert answer["config"]["app"] == "myapp"
    assert answer["toml"] == 'app = "myapp"\n'
    assert (await client.post(url)).status_code == 200
    given = (await client.post(url, json={"config": {"app": "given", "env": {"A": "1"}}})).json()
    assert given["config"] == {"app": "given", "env": {"A": "1"}}
    for bad in ({"config": {"app": "UPPER"}}, {"config": {"colour": 1}}, {"config": 1}, {"name": "A B"}, {"x": 1}):
        assert (await client.post(url, json=bad)).status_code == 400, bad


async def test_sources_that_are_refused(client: httpx2.AsyncClient, control: FakeControl) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    assert (await client.post("/v1/sources", content=b"no archive")).status_code == 400
    for content in (b"x" * 300_001, endless()):
        answer = await client.post("/v1/sources", content=content)
        assert (answer.status_code, answer.json()["status"]) == (413, "too_large")
    assert not control.world.sources
    for unknown in ("nope", "..%2f..", "a" * 100, "%00"):
        assert (await client.post(f"/v1/sources/{unknown}/plan", json={})).status_code == 404


async def test_deploy(client: httpx2.AsyncClient, control: FakeControl) -> None:
    body = {
        "image": "nginx:1",
        "config": {"app": "myapp"},
        "build_args": {"A": "1"},
        "build_secrets": {"TOKEN": SECRET},
        "no_cache": True,
    }
    answer = await client.post("/v1/apps/myapp/deploys", json=body)
    assert answer.status_code == 202
    operation = answer.json()
    assert operation["kind"] == "deploy"
    assert operation["steps"] == ["build", "release"]
    request = control.world.deploys[0]
    assert (request.image, request.build_secrets, request.no_cache) == ("nginx:1", {"TOKEN": SECRET}, True)
    assert SECRET not in repr(request) + answer.text
    releases = (await client.get("/v1/apps/myapp/releases")).json()
    assert releases[0]["version"] == 1
    assert releases[0]["status"] == "complete"
    assert releases[0]["config"] == {"app": "myapp"}
    assert (await client.get(f"/v1/operations/{operation['id']}")).json() == operation
    assert (await client.get("/v1/operations")).json() == [operation]
    assert (await client.get("/v1/operations", params={"app": "other"})).json() == []
    assert (await client.post(f"/v1/operations/{operation['id']}/cancel")).json() == operation


async def test_deploy_of_a_configured_image(client: httpx2.AsyncClient) -> None:
    body = {"config": {"build": {"image": "nginx:1"}}}
    assert (await client.post("/v1/apps/myapp/deploys", json=body)).status_code == 202


async def test_deploy_of_what_runs_again(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/v1/apps/myapp/deploys", json={})).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"source": "a", "image": "b"},
        {"image": "UPPER"},
        {"image": "x", "config": {"colour": 1}},
        {"image": "x", "build_args": {"A": 1}},
        {"image": "x", "build_args": {"A=B": "1"}},
        {"image": "x", "build_secrets": {"../x": "1"}},
        {"image": "x", "no_cache": "yes"},
        {"image": "x", "strategy": "canary"},
    ],
)
async def test_deploys_that_are_refused(client: httpx2.AsyncClient, control: FakeControl, body: Any) -> None:
    answer = await client.post("/v1/apps/myapp/deploys", json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "bad_input")
    assert not control.world.deploys


async def test_rollback(client: httpx2.AsyncClient, control: FakeControl) -> None:
    for body in (None, {}, {"version": 3}):
        assert (await client.post("/v1/apps/myapp/rollback", json=body)).status_code == 202
    assert control.world.asked == [("rollback", 0), ("rollback", 0), ("rollback", 3)]
    for bad in ({"version": -1}, {"version": "3"}, {"version": 2**60}, {"to": 1}):
        assert (await client.post("/v1/apps/myapp/rollback", json=bad)).status_code == 400


async def test_unknown_operations(client: httpx2.AsyncClient) -> None:
    for unknown in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "nope", "..%2f", "0" * 500):
        for path in ("", "/events"):
            answer = await client.get(f"/v1/operations/{unknown}{path}")
            assert answer.status_code == 404


async def test_images(client: httpx2.AsyncClient) -> None:
    images = (await client.get("/v1/images")).json()
    assert images[0]["reference"] == "roost/base:bookworm"
    assert images[0]["config"]["cmd"] == ["bash"]
    for verb in ("pull", "refresh"):
        answer = await client.post(f"/v1/images/{verb}", json={"reference": "nginx:1"})
        assert (answer.status_code, answer.json()["kind"]) == (202, f"image.{verb}")
        for bad in ({}, {"reference": ""}, {"reference": "A B"}, {"reference": "x", "tag": "y"}):
            assert (await client.post(f"/v1/images/{verb}", json=bad)).status_code == 400
    assert (await client.post("/v1/images/collect")).json() == {"freed_bytes": 4096}


async def test_cloud_status(client: httpx2.AsyncClient) -> None:
    status = (await client.get("/v1/status")).json()
    assert status["id"] == "0011aabb"
    assert status["edge"]["connected"] is True
    assert status["pool"] == {"used_bytes": 10, "total_bytes": 100}
    assert status["machines"] == {"started": 1}
