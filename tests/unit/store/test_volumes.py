"""Who has a volume is written together with the machine's row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.factory import WEB, machine

from roost.model.app import Event
from roost.model.errors import FailedPrecondition, NotFound
from roost.model.machine import Machine
from roost.model.machine_config import Mount
from roost.model.volume import Volume, VolumeState
from roost.store.store import Store

VOLUME = Volume("vol_0123456789abcdef", "shop", "data", VolumeState.CREATED, 1, "local", 5, True, "", 1000.0)
HOLDS = replace(WEB, mounts=(Mount("/data", VOLUME.id, "data"),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    opened.volumes.add(VOLUME)
    yield opened
    opened.close()


def add(store: Store, number: int = 1, **changes: object) -> Machine:
    made = machine(id=f"{number:014x}", slot=number, name=f"app-{number}", config=HOLDS, **changes)
    store.machines.add(made, Event(f"01J{number:023d}", made.id, "launch", "starting", "user", {}, 1.0))
    return made


def test_a_machine_takes_its_volume_and_lets_go_of_it(store: Store) -> None:
    first = add(store)
    taken = store.volumes.get("shop", VOLUME.id)
    assert taken == replace(VOLUME, attached_machine_id=first.id, updated_at=taken.updated_at)
    assert store.machines.get("shop", first.id).config.mounts == HOLDS.mounts
    with pytest.raises(FailedPrecondition, match=first.id):
        add(store, 2)
    assert store.machines.find(f"{2:014x}") is None
    assert not store.volumes.condemn(VOLUME.id)
    store.machines.remove(first.id)
    free = store.volumes.get("shop", VOLUME.id)
    assert free == replace(VOLUME, updated_at=free.updated_at)
    assert free.updated_at > taken.updated_at > 0
    assert store.volumes.condemn(VOLUME.id)
    with pytest.raises(FailedPrecondition, match="destroying"):
        add(store, 2)


def test_another_apps_volume_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound):
        add(store, app="other")
    with pytest.raises(NotFound):
        store.volumes.get("other", VOLUME.id)
