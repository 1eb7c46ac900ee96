"""Streams over a real connection: an operation's events, logs, uploads that stall."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN
from tests.contract.api.live_server import served

from roost.model.operation import OperationState


@pytest.fixture
async def live(api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(api) as address, httpx2.AsyncClient(base_url=f"http://{address}", headers=ADMIN) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_events_of_an_operation(live: httpx2.AsyncClient, control: FakeControl) -> None:
    operation = control.world.operation("deploy", "")
    answer = await live.get(f"/v1/operations/{operation.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    blocks = answer.text.strip().split("\n\n")
    assert [block.splitlines()[:2] for block in blocks] == [
        ["id: 1", "event: step"],
        ["id: 2", "event: log"],
        ["id: 3", "event: done"],
    ]
    datas = [json.loads(block.splitlines()[2].removeprefix("data: ")) for block in blocks]
    assert datas[1]["text"] == "two\nlines"
    assert datas[2]["operation"]["state"] == "succeeded"
    assert control.world.open_streams == 0


@pytest.mark.parametrize(("query", "headers"), [({"after": "2"}, {}), ({}, {"Last-Event-ID": "2"})])
async def test_events_continue(
    live: httpx2.AsyncClient, control: FakeControl, query: dict[str, str], headers: dict[str, str]
) -> None:
    operation = control.world.operation("deploy", "")
    answer = await live.get(f"/v1/operations/{operation.id}/events", params=query, headers=headers)
    assert answer.text.startswith("id: 3\n")
    assert answer.text.count("event:") == 1


async def test_keep_alive_and_the_client_going(live: httpx2.AsyncClient, control: FakeControl) -> None:
    operation = control.world.operation("deploy", "", OperationState.RUNNING)
    async with live.stream("GET", f"/v1/operations/{operation.id}/events") as answer:
        comments = 0
        async with asyncio.timeout(5):
            async for line in answer.aiter_lines():
                comments += line.startswith(":")
                if comments == 3:
                    break
        assert control.world.open_streams == 1
    await until(lambda: control.world.open_streams == 0)


async def test_logs(live: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp")
    answer = await live.get("/v1/apps/myapp/logs", params={"since": "1700000000", "limit": 7})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["message"] for line in lines] == ["line 0", "line 1", "line 2"]
    assert set(lines[0]) == {"timestamp", "machine", "stream", "message", "source"}
    assert control.world.asked == [("logs", "", 1_700_000_000.0, 7, False)]


async def test_followed_logs_end_with_the_client(live: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp")
    async with live.stream("GET", "/v1/apps/myapp/logs", params={"follow": "true"}) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(5):
            assert json.loads(await anext(lines))["message"] == "line 0"
        assert control.world.open_streams == 1
    await until(lambda: control.world.open_streams == 0)  # nothing is sent meanwhile: the silence is noticed


async def test_logs_that_break_say_so_without_internals(live: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("breaks")
    answer = await live.get("/v1/apps/breaks/logs")
    last = json.loads(answer.text.splitlines()[-1])
    assert set(last) == {"error", "status", "hint"}
    assert "internal detail" not in answer.text


async def test_logs_that_are_refused(live: httpx2.AsyncClient, control: FakeControl) -> None:
    assert (await live.get("/v1/apps/nobody/logs", params={"follow": "true"})).status_code == 404
    control.apps.create("myapp")
    assert (await live.get("/v1/apps/myapp/logs", params={"machine": "0" * 14})).status_code == 404
    for bad in ({"machine": "x"}, {"since": "later"}, {"limit": "-1"}, {"limit": "10001"}, {"follow": "perhaps"}):
        assert (await live.get("/v1/apps/myapp/logs", params=bad)).status_code == 400, bad


@pytest.mark.parametrize("path", ["/v1/apps", "/v1/sources"])
async def test_body_that_stalls(live: httpx2.AsyncClient, control: FakeControl, path: str) -> None:
    base = live.base_url
    reader, writer = await asyncio.open_connection(base.host, base.port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: {base.host}\r\nAuthorization: {ADMIN['Authorization']}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(10):
            status = await reader.readline()
        assert b" 408 " in status
        assert not control.world.sources
    finally:
        writer.close()


async def test_upload_that_breaks_off(live: httpx2.AsyncClient, control: FakeControl) -> None:
    base = live.base_url
    _, writer = await asyncio.open_connection(base.host, base.port)
    head = f"POST /v1/sources HTTP/1.1\r\nHost: {base.host}\r\nAuthorization: {ADMIN['Authorization']}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\nabc".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await live.get("/healthz")).status_code == 200
    assert not control.world.sources
