"""A new base configuration comes to the cells one after the other, and is taken back when one fares ill with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.edge.cells_harness import CELLS, cell_status, next_roostd, org_in, route
from tests.e2e.edge.edge_harness import Bench, bench, envoys_of, until

from roost.cli.cloud import cloud_status, render_cloud
from roost.edge import cell_base, rollout
from roost.edge.listener import EdgePlace, activator_cluster, route_configuration
from roost.edge.protos import CLUSTER, ROUTES, RouteConfiguration, resource
from roost.edge.rollout import RollOut
from roost.plan.edge_rollout import Answers, ByApp, is_worse


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, cells=CELLS) as made:
        yield made


def _changed(change: Callable[[Any], object]) -> Callable[[], Any]:
    """Return what makes the route configuration of a later Roost."""

    def make() -> Any:
        message = RouteConfiguration()
        route_configuration().resource.Unpack(message)
        change(message)
        return resource("edge", message)

    return make


async def test_a_new_base_configuration_comes_to_all_cells_whatever_apps_do(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apps that begin to fail in that very moment, in every way that apps have, are no reason to take it back."""
    monkeypatch.setattr(rollout, "WATCH", 0.5)
    monkeypatch.setattr(rollout, "LOOK", 0.1)
    org = org_in("0", "1")
    for app in ("fails", "dies", "well", "well2"):
        await at.edge.put(route(at, app, org))
    await at.edge.put(route(at, "a", org_in("2", "1")))
    seen: list[dict[str, Answers]] = []

    def judge(before: Any, after: Any, reached: Any) -> bool:
        seen.append(after)
        return is_worse(before, after, reached)

    monkeypatch.setattr(rollout, "is_worse", judge)
    look = RollOut._got_worse

    async def look_late(self: RollOut, before: ByApp, after: ByApp) -> bool:
        """Not before enough was answered to judge by, however slow this machine is."""
        await until(lambda: min(called_since["dies"], called_since["fails"] / 2) > 15, timeout=10.0)
        return await look(self, before, after)

    monkeypatch.setattr(RollOut, "_got_worse", look_late)

    def newer(message: Any) -> None:
        added = message.response_headers_to_add.add()
        added.header.key, added.header.value = "x-newer", "yes"

    make = _changed(newer)
    monkeypatch.setattr(cell_base, "route_configuration", make)
    done, new, called_since = asyncio.Event(), make(), Counter[str]()
    await next_roostd(at)

    async def call(app: str, path: str) -> None:
        while not done.is_set():
            changed = at.cell.xds.table[ROUTES]["edge"].version == new.version
            with contextlib.suppress(asyncio.IncompleteReadError):
                await at.get(path if changed else "/", host=f"{app}.localhost")
            called_since[app] += changed

    called = (("fails", "/fail"), ("dies", "/die"), ("well", "/"), ("well2", "/"))
    callers = [asyncio.create_task(call(app, path)) for app, path in called]
    try:
        # a cell waits for its answers up to 10 s, and there are three
        await until(lambda: at.edge.status().detail.get("rollout") in ("done", "rolled back"), timeout=40.0)
    finally:
        done.set()
        await asyncio.gather(*callers)
    assert at.edge.status().detail.get("rollout") == "done", at.edge.status().detail
    assert any(told["dies"].doubtful > 5 and told["fails"].total > 20 for told in seen if "dies" in told)
    assert (await at.get(host="a.localhost")).headers["x-newer"] == "yes"
    assert "rolled_back" not in at.edge.status().detail
    await next_roostd(at)
    assert all(cell.base.is_up_to_date() for cell in at.edge._cells.values()), "there is nothing to change"


async def test_a_part_of_the_edge_that_failed_does_not_keep_the_rest_from_being_stopped(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    async def fail(_roll_out: RollOut) -> None:
        failed.set()
        raise ArithmeticError

    monkeypatch.setattr(RollOut, "run", fail)
    await next_roostd(at)
    await failed.wait()
    await at.edge.stop(envoy_too=True)
    assert envoys_of(at.cloud) == []


async def test_a_base_configuration_that_a_cell_refuses_is_taken_back(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "WATCH", 0.5)
    await at.edge.put(route(at, "a", org_in("0", "1")))
    await at.edge.put(route(at, "b", org_in("2", "1")))  # cell 2, too, has what comes first
    # Envoy takes one virtual host for all names, no second one
    broken = _changed(lambda message: message.virtual_hosts.add(name="twice", domains=["*"]))
    monkeypatch.setattr(cell_base, "route_configuration", broken)
    await next_roostd(at)
    await until(lambda: at.edge.status().detail.get("rollout") == "rolled back", timeout=10.0)
    assert str(at.edge.status().detail["rolled_back"]).startswith("cell 0 refused it: ")
    assert [cell_status(at, name).get("rejected") is not None for name in "012"] == [True, False, False]
    assert (await at.get(host="a.localhost")).status == 200
    monkeypatch.undo()
    await next_roostd(at)
    assert (await at.get(host="a.localhost")).status == 200


async def test_a_base_configuration_with_which_the_first_cell_fails_is_taken_back(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy takes it, but what goes by the activator, as paths of challenges do, is answered 503 with it."""
    monkeypatch.setattr(rollout, "WATCH", 1.0)
    monkeypatch.setattr(rollout, "LOOK", 0.2)
    first, last = (
        replace(route(at, app, org_in(*cells)), hosts=(f"{app}.localhost", f"{app}.example.com"))
        for app, cells in (("a", ("0", "1")), ("b", ("2", "1")))
    )
    for one in (first, last):
        await at.edge.put(one)

    def broken(place: EdgePlace) -> object:
        return activator_cluster(replace(place, activator=at.cloud.run / "nowhere.sock"))

    monkeypatch.setattr(cell_base, "activator_cluster", broken)
    told = {"a": set[int](), "b": set[int]()}
    done = asyncio.Event()

    async def call(app: str) -> None:
        while not done.is_set():
            told[app].add((await at.get("/.well-known/acme-challenge/x", host=f"{app}.localhost")).status)

    callers = [asyncio.create_task(call(app)) for app in told]
    try:
        await until(lambda: told == {"a": {200}, "b": {200}}, what="it is called")
        await next_roostd(at)
        await until(lambda: at.edge.status().detail.get("rollout") == "rolled back", timeout=10.0)
        told["a"].clear()
        await until(lambda: 200 in told["a"], what="the first cell has what it had")
    finally:
        done.set()
        await asyncio.gather(*callers)
    status = at.edge.status()
    shown = render_cloud(cloud_status({"edge": asdict(status)}, ""))
    assert "its new configuration was taken back: cell 0 answered far more errors with it" in shown
    for cell in at.edge._cells.values():
        assert cell.xds.table[CLUSTER]["activator"] == activator_cluster(cell.place), "nobody has it"
    assert (await at.get("/.well-known/acme-challenge/x", host="b.localhost")).status == 200
