"""Autoscaling over HTTP: every key works or is refused by name, and the log says why."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl


@pytest.fixture
def path(control: FakeControl) -> str:
    control.apps.create("shop")
    return "/v1/apps/shop/autoscale"


FULL: dict[str, Any] = {
    "min": 2, "max": 9, "concurrency": 20, "up_after": "10s", "down_after": "2m", "up_step": 3, "down_step": 1,
    "drain_timeout": "1m", "remove": "any",
    "metrics": [{"name": "queue", "target": 2.5, "aggregate": "max", "of": "app", "labels": {"q": "mail"}}],
}  # fmt: skip


async def test_what_is_set_is_shown(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path)).json() == {"app": "shop", "groups": [], "decisions": []}
    answer = await client.put(f"{path}/app", json=FULL)
    assert answer.status_code == 200, answer.text
    shown = (await client.get(path)).json()
    assert shown["groups"][0]["policy"] == FULL
    (decision,) = shown["decisions"]
    assert decision["why"] == "30 requests at once" and decision["seen"]["requests"] == 30
    assert (decision["machines"], decision["wanted"], decision["done"]) == (1, 2, "made m")
    gone = await client.delete(f"{path}/app")
    assert (gone.json()["enabled"], gone.json()["policy"]) == (False, None)
    assert (await client.get(path, params={"limit": 0})).json()["decisions"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max": None}, "max"),
        ({"max": 0}, "max"),
        ({"min": 10}, "min"),
        ({"concurrency": 0, "metrics": []}, "concurrency"),
        ({"up_after": "soon"}, "up_after"),
        ({"down_after": "48h"}, "down_after"),
        ({"remove": "all"}, "remove"),
        ({"processes": ["app"]}, "processes"),
        ({"metrics": [{"name": "a b", "target": 1}]}, "metrics[0].name"),
        ({"metrics": [{"name": "a", "target": 0}]}, "metrics[0].target"),
        ({"metrics": [{"name": "a", "target": 1, "how": "sum"}]}, "metrics[0].how"),
        ({"metrics": [{"name": "a", "target": 1, "labels": {"a b": "c"}}]}, "labels"),
        ({"metrics": [{"name": "a", "target": 1, "aggregate": "p99"}]}, "aggregate"),
    ],
)
async def test_a_bad_key_is_named(client: httpx2.AsyncClient, path: str, change: dict[str, Any], named: str) -> None:
    body = {key: value for key, value in (FULL | change).items() if value is not None}
    answer = await client.put(f"{path}/app", json=body)
    assert answer.status_code in (400, 422) and named in answer.text, answer.text


async def test_bad_groups(client: httpx2.AsyncClient, path: str) -> None:
    for group in ("nothing", "a b", "x" * 64, "-", "%00", "a.b"):
        answer = await client.put(f"{path}/{group}", json=FULL)
        assert answer.status_code in (400, 404, 422), (group, answer.text)
