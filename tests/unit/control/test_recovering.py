"""What is done for a machine at roostd's start, when requests come in at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.factory import machine

from roost.control.core import Core
from roost.control.lifecycle import Lifecycle
from roost.host.contract import Observed, RuntimeState
from roost.model.app import Event
from roost.model.cloud import Cloud
from roost.model.machine import MachineState
from roost.store.store import Store


class RunningHost:
    """A host on which the machine runs; it may only be looked at."""

    def observe(self, machine_id: str) -> Observed:
        return Observed(machine_id, RuntimeState.RUNNING, pid=1)


class Watch:
    def __init__(self) -> None:
        self.up: list[str] = []

    def came_up(self, seen: Any, pid: int) -> None:
        self.up.append(seen.id)


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path}/state.db")
    nothing = cast(Any, None)
    host = cast(Any, RunningHost())
    yield Core(cloud, store, host=host, edge=nothing, images=nothing, builder=nothing, vault=nothing)
    store.close()


def test_a_machine_that_a_request_brought_up_meanwhile_is_left_running(core: Core) -> None:
    store = core.store
    store.apps.create(name="shop", app_id="a1", org="personal", network="default", now=1000.0)
    starting = machine(state=MachineState.STARTING)
    store.machines.add(starting, Event("01J", starting.id, "start", "starting", "user", {}, 1000.0))
    store.machines.save(machine(state=MachineState.STARTED))  # a request woke it since roostd has looked at all
    lifecycle, watch = Lifecycle(core, cast(Any, None)), Watch()
    lifecycle.attach(cast(Any, watch))
    lifecycle.recover(machine().id)  # a stop or a second start would fail: the host knows neither
    assert store.machines.get("shop", machine().id).state is MachineState.STARTED
    assert watch.up == [machine().id]
