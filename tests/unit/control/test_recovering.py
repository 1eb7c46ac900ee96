"""What is done for a machine at roostd's start, when requests come in at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.factory import machine

from roost.control.core import Core
from roost.control.lifecycle import Lifecycle
from roost.control.scheduling import Scheduling
from roost.host.contract import Observed, RuntimeState
from roost.model.app import Event
from roost.model.cloud import Cloud
from roost.model.machine import MachineState
from roost.model.machine_config import MachineConfig
from roost.model.run import RunState, Trigger
from roost.model.schedule import Schedule
from roost.plan.schedule import begun
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


class EmptyHost:
    """A host on which nothing runs, as after a reboot."""

    def observe(self, machine_id: str) -> Observed:
        return Observed(machine_id, RuntimeState.ABSENT)

    def stop(self, machine_id: str, **_: Any) -> Observed:
        return self.observe(machine_id)


def test_a_run_that_a_reboot_ended_is_interrupted_and_not_run_again(core: Core) -> None:
    core.host, store = cast(Any, EmptyHost()), core.store
    store.apps.create(name="shop", app_id="a1", org="personal", network="default", now=1000.0)
    job = machine(config=MachineConfig(image="x", schedule=Schedule("daily")), next_run_at=9000.0)
    run = begun(job, "01J", Trigger.SCHEDULE, 1000.0)
    store.machines.add(job, Event("01J", job.id, "start", "started", "flyd", {}, 1000.0), run)
    Lifecycle(core, cast(Any, None)).recover(job.id)
    found = store.machines.get("shop", job.id)
    assert (found.state, found.desired, found.next_run_at) == (MachineState.STOPPED, MachineState.STOPPED, 9000.0)
    (ended,) = store.runs.list(job.id)
    assert ended.state is RunState.INTERRUPTED and "nobody saw" in ended.reason and ended.ended_at


def test_a_time_is_taken_once_whoever_looks(core: Core) -> None:
    store, begins = core.store, list[str]()
    store.apps.create(name="shop", app_id="a1", org="personal", network="default", now=1000.0)
    job = machine(
        config=MachineConfig(image="x", schedule=Schedule("daily")),
        state=MachineState.STOPPED,
        desired=MachineState.STOPPED,
        next_run_at=1000.0,
    )
    store.machines.add(job, Event("01J", job.id, "launch", "created", "user", {}, 1000.0))

    class Starts:
        def bring_up(self, machine_id: str, *, source: str) -> None:
            (run,) = store.runs.list(machine_id)  # written before it starts
            assert run.state is RunState.RUNNING and run.trigger is Trigger.CATCH_UP and run.missed
            begins.append(machine_id)

    scheduling = Scheduling(core, cast(Any, Starts()))
    for _ in range(3):
        scheduling.take_turn(job.id)
    assert begins == [job.id] and len(store.runs.list(job.id)) == 1
    found = store.machines.get("shop", job.id)
    assert found.state is MachineState.STARTING and found.next_run_at is not None and found.next_run_at > core.now()
    store.machines.save(replace(found, next_run_at=core.now() - 1.0))
    scheduling.take_turn(job.id)
    assert [run.state for run in store.runs.list(job.id)] == [RunState.SKIPPED, RunState.RUNNING]
