"""Runs change with their machine, are paged, bounded, and go with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.factory import machine

from roost.model.app import Event
from roost.model.machine_config import MachineConfig
from roost.model.run import Run, RunState, Trigger
from roost.model.schedule import Schedule
from roost.store.runs import RUNS_KEPT
from roost.store.store import Store

ID = machine().id
SCHEDULED = machine(config=MachineConfig(image="x", schedule=Schedule("daily")), next_run_at=2000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/state.db")
    made.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    made.machines.add(SCHEDULED, Event("0", ID, "launch", "created", "user", {}, 1.0), run(0))
    yield made
    made.close()


def run(number: int, state: RunState = RunState.RUNNING) -> Run:
    return Run(f"{number:026}", ID, "shop", "v", Trigger.SCHEDULE, state, scheduled_at=float(number))


def test_a_run_is_written_with_its_machine_and_read_back(store: Store) -> None:
    assert store.runs.under_way(ID) == run(0)
    assert store.machines.scheduled(10) == [(ID, 2000.0)]
    ended = replace(run(0), state=RunState.FAILED, exit_code=3, oom=True, reason="it failed", ended_at=7.0)
    store.machines.save(replace(SCHEDULED, next_run_at=3000.0), None, ended)
    assert store.runs.under_way(ID) is None
    assert store.runs.list(ID) == [ended]
    assert store.machines.scheduled(10) == [(ID, 3000.0)]
    assert store.machines.get("shop", ID).next_run_at == 3000.0


def test_pages_and_bounds(store: Store) -> None:
    for number in range(1, 2 * RUNS_KEPT + 21):
        state = RunState.SKIPPED if number % 2 else RunState.SUCCEEDED
        store.machines.save(SCHEDULED, None, run(number, state))
    page = store.runs.list(ID, limit=3)
    assert [r.id for r in store.runs.list(ID, before=page[-1].id, limit=1)] == [run(2 * RUNS_KEPT + 17).id]
    store.runs.trim()
    left = store.runs.list(ID, limit=1000)
    assert sum(r.state is RunState.SKIPPED for r in left) == RUNS_KEPT
    assert sum(r.state is RunState.SUCCEEDED for r in left) == RUNS_KEPT
    assert left[-1] == run(0), "what goes on is never trimmed"


def test_they_go_with_the_machine(store: Store) -> None:
    store.machines.remove(ID)
    assert not store.runs.list(ID)
    assert not store.machines.scheduled(10)


def test_standbys_are_found_without_reading_all(store: Store) -> None:
    assert not store.machines.standbys()
    standby = replace(SCHEDULED, config=MachineConfig(image="x", standbys=("b" * 14,)), next_run_at=None)
    store.machines.save(standby)
    assert list(store.machines.standbys()) == [standby]
