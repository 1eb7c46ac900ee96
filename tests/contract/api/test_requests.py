"""The requests of an app: lines of JSON, events, filters, percentiles."""

from __future__ import annotations

import json

import httpx2
from tests.contract.api.fake_control import FakeControl

from roost.model.request import RequestFilter


async def test_lines(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp", "personal")
    answer = await client.get("/v1/apps/myapp/requests", params={"since": "1700000000", "limit": 7})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["cursor"] for line in lines] == [100, 200, 300]
    assert set(lines[0]["latency_ms"]) == {"queue", "wake", "connect", "app", "total"}
    assert (lines[2]["status"], lines[2]["error"], lines[2]["fault"]) == (502, "app_closed_connection", "app")
    assert control.world.asked[-1] == ("requests", RequestFilter(since=1_700_000_000.0), -1, 7, False)


async def test_events_go_on_after_the_last_one(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp", "personal")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "200"}
    answer = await client.get("/v1/apps/myapp/requests", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: request") == 1
    assert "id: 300\n" in answer.text
    assert answer.text.rstrip().endswith("data: {}")


async def test_filters_reach_control_and_bad_ones_do_not(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp", "personal")
    asked = {"status": "5xx", "path": "/api", "slow": "12.5", "errors": "true", "after": "9"}
    await client.get("/v1/apps/myapp/requests", params=asked)
    assert control.world.asked[-1] == ("requests", RequestFilter("5xx", "/api", 12.5, 0.0, "", True), 9, 100, False)
    for bad in ({"status": "6xx"}, {"slow": "-1"}, {"slow": "nan"}, {"after": "x"}, {"limit": "10001"}, {"since": "?"}):
        answer = await client.get("/v1/apps/myapp/requests", params=bad)
        assert answer.status_code in (400, 422), bad
        assert next(iter(bad)) in answer.text
    assert (await client.get("/v1/apps/nobody/requests")).status_code == 404
    assert (await client.get("/v1/apps/nobody/requests/summary")).status_code == 404


async def test_a_log_that_breaks_says_so_without_internals(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("breaks", "personal")
    answer = await client.get("/v1/apps/breaks/requests")
    assert "something went wrong inside Roost" in answer.text.splitlines()[-1]
    assert "internal detail" not in answer.text
    assert control.world.open_streams == 0


async def test_summary(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp", "personal")
    told = (await client.get("/v1/apps/myapp/requests/summary")).json()
    assert [window["seconds"] for window in told["windows"]] == [60, 300, 3600]
    first = told["windows"][0]
    assert first["statuses"] == {"2xx": 2, "5xx": 1}
    assert first["errors"][0]["error"] == "app_closed_connection"
    assert first["errors"][0]["fault"] == "app"
    assert first["errors"][0]["hint"]
    assert set(first["latency_ms"]["app"]) == {"p50", "p90", "p99"}
    assert told["dropped"] == 4
    assert told["left_out"] == ["d5683210f7c968"], "a machine that gets no requests for a while"
