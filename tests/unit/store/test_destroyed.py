"""Machines and volumes that were destroyed are remembered for a time, and not too many of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.factory import machine
from tests.unit.store.test_volumes import VOLUME

from roost.model.app import Event
from roost.model.listing import OrgListing
from roost.model.machine import ExitInfo, MachineState
from roost.model.volume import VolumeState
from roost.store import destroyed
from roost.store.schema import destroyed as schema
from roost.store.store import Store

ENDED = ExitInfo(1, 0, False, True, 5.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    for app, org in (("shop", "acme"), ("blog", "other")):
        opened.apps.create(name=app, app_id=app, org=org, network="n", now=1.0)
    yield opened
    opened.close()


def destroy(store: Store, number: int, at: float, **changes: object) -> str:
    made = machine(id=f"{number:014x}", slot=number, name=f"m{number}", last_exit=ENDED, **changes)
    store.machines.add(made, Event(f"01J{number:023d}", made.id, "launch", "starting", "user", {}, 1.0))
    store.machines.remove(made.id, at)
    return made.id


def test_a_machine_is_remembered_as_it_was(store: Store) -> None:
    ident = destroy(store, 1, 100.0)
    gone = MachineState.DESTROYED
    (kept,) = store.destroyed_machines.list("shop")
    assert kept == replace(
        machine(id=ident, slot=1, name="m1", last_exit=ENDED), state=gone, desired=gone, updated_at=100.0
    )
    assert store.destroyed_machines.find(ident) == kept
    assert store.destroyed_volumes.find(ident) is None
    assert store.machines.find(ident) is None
    assert store.destroyed_machines.list("blog") == []


def test_a_volume_is_remembered_as_it_was(store: Store) -> None:
    store.volumes.add(VOLUME)
    store.volumes.remove(VOLUME.id, 100.0)
    kept = store.destroyed_volumes.find(VOLUME.id)
    assert kept == replace(VOLUME, state=VolumeState.DESTROYED, updated_at=100.0)
    assert store.volumes.find(VOLUME.id) is None


def test_what_nobody_was_told_of_is_not_remembered(store: Store) -> None:
    store.volumes.add(VOLUME)
    store.volumes.remove(VOLUME.id)
    assert store.destroyed_volumes.list("shop") == []


def test_what_another_release_wrote_is_no_obstacle(store: Store) -> None:
    kept, broken = destroy(store, 1, 100.0), destroy(store, 2, 100.0)
    with store.database.write() as connection:
        connection.execute(schema.update().where(schema.c.id == broken).values(value={"id": broken, "shape": "old"}))
    assert [one.id for one in store.destroyed_machines.list("shop")] == [kept]
    assert store.destroyed_machines.find(broken) is None
    assert [one.id for one in store.destroyed_machines.of_org(OrgListing("acme"))] == [kept]


def test_pages_of_an_org(store: Store) -> None:
    ids = [destroy(store, number, 100.0 + number // 2) for number in range(1, 5)]
    destroy(store, 9, 100.0, app="blog")
    first = store.destroyed_machines.of_org(OrgListing("acme", limit=3))
    assert [one.id for one in first] == ids[:3]
    rest = store.destroyed_machines.of_org(OrgListing("acme", after=(first[-1].updated_at, first[-1].id)))
    assert [one.id for one in rest] == ids[3:]
    assert store.destroyed_machines.of_org(OrgListing("acme", region="far")) == []


def test_they_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroyed, "KEPT_PER_APP", 2)
    ids = [destroy(store, number, 100.0 + number) for number in range(1, 6)]
    other = destroy(store, 9, 104.0, app="blog")
    store.destroyed_machines.forget(102.5)
    assert [one.id for one in store.destroyed_machines.list("shop")] == ids[3:]
    assert [one.id for one in store.destroyed_machines.list("blog")] == [other]
    store.apps.remove("shop", now=9.0)
    assert store.destroyed_machines.list("shop") == []
