"""An app's name that another app has later, perhaps another org's: nothing of the first is the second's to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.factory import machine

from roost.control.core import Core
from roost.control.key_ring import KeyRing
from roost.control.logs import Logs
from roost.control.requests import Requests
from roost.control.sealing import Vault
from roost.host.contract import LogLine
from roost.model.app import Event
from roost.model.cloud import Cloud
from roost.model.request import Request, RequestFilter
from roost.store.store import Store


class Host:
    """The log of each machine is its id, once."""

    def logged_containers(self, _machine_id: str) -> list[str]:
        return [""]

    def logs(self, machine_id: str, *, offset: int, **_: Any) -> list[LogLine]:
        return [LogLine(machine_id, 1.0, "stdout", machine_id, 1)] if offset < 1 else []


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    nothing: Any = SimpleNamespace(unlogged=0)
    host: Any = Host()
    made = Core(cloud, store, host, nothing, nothing, nothing, Vault(KeyRing(tmp_path / "keys"), store.data_keys))
    app(made, "1", "acme")
    yield made
    store.close()


def app(core: Core, app_id: str, org: str) -> None:
    core.store.apps.create(name="shop", app_id=app_id, org=org, network=f"{org}-default", now=core.now())


def request(at: float, path: str) -> Request:
    values = {"bytes_in": 0, "bytes_out": 0, "queue": 0.0, "wake": 0.0, "connect": 0.0, "app": 1.0, "total": 1.0}
    return Request(at, "1", "GET", "shop.test", path, 200, "HTTP/1.1", "192.0.2.1", "m", **values, tries=1, error="")


def add(core: Core, machine_id: str, event: str) -> None:
    row = machine(id=machine_id, app="shop")
    core.store.machines.add(row, Event(event, machine_id, "launch", "started", "user", {}, 1.0))


async def told(lines: AsyncIterator[Any]) -> list[Any]:
    async with asyncio.timeout(5):
        return [line async for line in lines]


def test_who_follows_an_apps_logs_does_not_see_those_of_a_later_app(core: Core) -> None:
    first, second = "00000000000001", "00000000000002"
    add(core, first, "01ARZ3NDEKTSV4RRFFQ69G5FAV")

    async def follow() -> list[str]:
        lines = Logs(core).follow("shop", follow=True)
        seen = [(await anext(lines)).text]
        core.store.apps.remove("shop", now=core.now())
        app(core, "2", "rival")
        add(core, second, "01ARZ3NDEKTSV4RRFFQ69G5FAW")
        return seen + [line.text for line in await told(lines)]

    assert asyncio.run(follow()) == [first]


def test_who_follows_an_apps_requests_does_not_see_those_of_a_later_app(core: Core) -> None:
    requests = Requests(core)
    requests.record([("shop", request(at=core.now(), path="/first"))])

    async def follow() -> list[str]:
        found = requests.follow("shop", RequestFilter(), follow=True)
        seen = [(await anext(found)).request.path]
        core.store.apps.remove("shop", now=core.now())
        requests.forget("shop")
        app(core, "2", "rival")
        requests.record([("shop", request(at=core.now(), path="/second"))])
        return seen + [entry.request.path for entry in await told(found)]

    assert asyncio.run(follow()) == ["/first"]


def test_the_last_requests_of_an_app_are_not_a_later_apps(core: Core) -> None:
    requests = Requests(core)
    began = core.now() - 1.0
    core.store.apps.remove("shop", now=core.now())
    requests.forget("shop")
    app(core, "2", "rival")
    requests.forget("shop")
    requests.record(
        [("shop", request(at=began, path="/of-the-first")), ("shop", request(at=core.now() + 1, path="/own"))]
    )

    async def read() -> list[str]:
        return [entry.request.path for entry in await told(requests.follow("shop", RequestFilter()))]

    assert asyncio.run(read()) == ["/own"]
    assert [sum(statuses.values()) for _, statuses, _, _ in requests.counts().apps] == [1]
