"""Calls that are sent twice with one Idempotency-Key."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl

from roost.api.app import create_api
from roost.api.idempotency import Kept, MemoryReplays
from roost.host.contract import ExecResult
from roost.model.errors import HostFailure
from roost.model.machine_config import MachineConfig

KEY = {"Idempotency-Key": "4f0c6f5e-0000-4000-8000-000000000001"}
OTHER = {"Idempotency-Key": "4f0c6f5e-0000-4000-8000-000000000002"}
BODY = {"config": {"image": "nginx:1"}}


@pytest.fixture(autouse=True)
def machine(control: FakeControl) -> str:
    control.apps.create("myapp")
    return control.machines.create("myapp", MachineConfig(image="x")).id


async def test_done_once_and_answered_twice(client: httpx2.AsyncClient, control: FakeControl) -> None:
    before = len(control.world.machines)
    first, second = [await client.post("/v1/apps/myapp/machines", json=BODY, headers=KEY) for _ in range(2)]
    assert first.json() == second.json()
    assert first.status_code == second.status_code == 200
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert first.headers["fly-request-id"] != second.headers["fly-request-id"]
    assert len(control.world.machines) == before + 1
    other = await client.post("/v1/apps/myapp/machines", json=BODY, headers=OTHER)
    assert other.json()["id"] != first.json()["id"]


async def test_answers_without_a_body(client: httpx2.AsyncClient, control: FakeControl) -> None:
    first, second = [await client.delete("/v1/apps/myapp?force=true", headers=KEY) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert (await client.delete("/v1/apps/myapp", headers=OTHER)).status_code == 404


async def test_key_of_another_call(client: httpx2.AsyncClient, machine: str) -> None:
    await client.post("/v1/apps/myapp/machines", json=BODY, headers=KEY)
    refused = await client.post("/v1/apps/myapp/machines", json=BODY | {"name": "b"}, headers=KEY)
    assert (refused.status_code, refused.json()["status"]) == (422, "unprocessable")
    queried = await client.post("/v1/apps/myapp/machines", json=BODY, headers=KEY, params={"a": "1"})
    assert queried.status_code == 422
    elsewhere = await client.post(f"/v1/apps/myapp/machines/{machine}/stop", json={}, headers=KEY)
    assert elsewhere.status_code == 200


async def test_failures_are_tried_again(client: httpx2.AsyncClient, control: FakeControl) -> None:
    assert (await client.post("/v1/apps", json={"name": "myapp"}, headers=KEY)).status_code == 422
    del control.world.apps["myapp"]
    assert (await client.post("/v1/apps", json={"name": "myapp"}, headers=KEY)).status_code == 201


async def test_repeated_while_under_way(client: httpx2.AsyncClient, control: FakeControl, machine: str) -> None:
    going, entered = threading.Event(), threading.Semaphore(0)
    calls: list[Sequence[str]] = []

    def execute(app: str, ident: str, argv: Sequence[str], **_: Any) -> ExecResult:
        calls.append(argv)
        entered.release()
        assert going.wait(10)
        if len(calls) == 1:
            raise HostFailure("the first one fails")
        return ExecResult(0, 0, b"done", b"")

    control.machines.execute = execute  # type: ignore[method-assign,assignment]
    url = f"/v1/apps/myapp/machines/{machine}/exec"
    tasks = [asyncio.create_task(client.post(url, json={"command": ["x"]}, headers=KEY)) for _ in range(4)]
    assert await asyncio.to_thread(entered.acquire, timeout=10)
    await asyncio.sleep(0.05)
    assert len(calls) == 1
    going.set()
    answers = [await task for task in tasks]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 500]
    assert len(calls) == 2
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 2


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "\x7f"])
async def test_keys_that_are_none(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/apps", json={"name": "b"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["status"]) == (400, "bad_input")


async def test_looking_needs_no_key(client: httpx2.AsyncClient) -> None:
    await client.get("/v1/apps", headers=KEY)
    assert "idempotency-replayed" not in (await client.get("/v1/apps", headers=KEY)).headers


async def test_other_tokens_have_other_keys(control: FakeControl) -> None:
    from roost.control.contract import Principal

    control.tokens.authenticate = lambda token: Principal(token, "admin", token)  # type: ignore[method-assign]
    api: FastAPI = create_api(control)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api), base_url="http://127.0.0.1") as client:
        ids = set()
        for token in ("one", "two"):
            headers = KEY | {"Authorization": f"Bearer {token}"}
            ids.add((await client.post("/v1/apps/myapp/machines", json=BODY, headers=headers)).json()["id"])
    assert len(ids) == 2


def test_memory_is_bounded() -> None:
    replays = MemoryReplays(total=10_000, largest=2_000)
    now = time.time()
    for number in range(100):
        replays.keep(bytes([number]), Kept(b"", 200, "", b"x" * 1000, now))
    found = [number for number in range(100) if replays.find(bytes([number]))]
    assert found == list(range(100 - len(found), 100))
    assert 1 <= len(found) <= 10
    replays.keep(b"large", Kept(b"", 200, "", b"x" * 2001, now))
    assert replays.find(b"large") is None
    replays.keep(b"old", Kept(b"", 200, "", b"", now - 90_000))
    assert replays.find(b"old") is None
