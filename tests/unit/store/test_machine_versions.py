from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, insert, inspect
from tests.unit.factory import WEB, machine

from roost.model.app import Event
from roost.model.containers import Container
from roost.model.listing import OrgListing
from roost.model.machine import Machine
from roost.model.machine_version import Lease, MachineVersion, Update
from roost.model.replay import Kept
from roost.store import replays
from roost.store.database import MIGRATIONS
from roost.store.machines import machine_values
from roost.store.schema import machines
from roost.store.store import Store
from roost.store.versions import VERSIONS_KEPT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    opened.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    yield opened
    opened.close()


def event(number: int) -> Event:
    return Event(f"01J{number:023d}", "0123456789abcd", "update", "replaced", "user", {}, 1000.0)


def version(number: int) -> MachineVersion:
    return MachineVersion(f"01K{number:023d}", "sha256:" + "1" * 64, replace(WEB, env={"N": str(number)}))


def added(store: Store) -> Machine:
    made = machine()
    store.machines.add(made, event(0))
    return made


def test_an_update_until_it_has_arrived(store: Store) -> None:
    made = added(store)
    assert store.versions.under_way(made.id) is None
    update = Update(made.id, version(1), made.instance_id, launch=True, revive=False)
    store.versions.begin(update)
    assert store.versions.under_way(made.id) == update
    assert [m.id for m in store.machines.unsettled([])] == [made.id]
    assert version(1).image_digest in store.machines.image_digests()
    changed = store.versions.take_on(made, version(1), event(1))
    assert store.machines.get("shop", made.id) == changed
    assert (changed.instance_id, changed.config.env, changed.id) == (version(1).instance_id, {"N": "1"}, made.id)
    assert made.image_digest in store.machines.image_digests()
    assert store.versions.list(made.id) == [MachineVersion(made.instance_id, made.image_digest, made.config)]
    store.versions.end(made.id)
    assert store.versions.under_way(made.id) is None


def test_put_back(store: Store) -> None:
    made = added(store)
    store.versions.begin(Update(made.id, version(1), made.instance_id, launch=True, revive=True))
    changed = store.versions.take_on(made, version(1), event(1))
    store.versions.put_back(changed, store.versions.list(made.id)[0], event(2))
    assert store.machines.get("shop", made.id) == made
    assert store.versions.list(made.id) == []
    assert store.versions.under_way(made.id) is None


def test_versions_are_bounded_and_go_with_the_machine(store: Store) -> None:
    made = added(store)
    for number in range(1, VERSIONS_KEPT + 5):
        made = store.versions.take_on(made, version(number), event(number))
    kept = store.versions.list(made.id)
    assert len(kept) == VERSIONS_KEPT
    assert kept[0] == version(VERSIONS_KEPT + 3)
    store.leases.change(made.id, 0.0, lambda _: Lease(made.id, "n", "o", "", "v", 10.0))
    store.machines.remove(made.id)
    assert store.versions.list(made.id) == []
    assert store.leases.find(made.id, 0.0) is None


def test_a_lease_ends_by_itself_and_with_the_app(store: Store) -> None:
    made = added(store)
    lease = Lease(made.id, "n", "ada", "", "v", 100.0)
    assert store.leases.change(made.id, 50.0, lambda current: lease if current is None else None) == lease
    assert store.leases.find(made.id, 99.0) == lease
    assert store.leases.current(99.0) == {made.id: lease}
    assert store.leases.current(1e12) == {}
    assert store.leases.find(made.id, 100.0) is None

    def refuse(_current: Lease | None) -> Lease | None:
        raise ValueError

    with pytest.raises(ValueError):
        store.leases.change(made.id, 50.0, refuse)
    assert store.leases.find(made.id, 99.0) == lease
    store.apps.remove("shop", now=9.0)
    assert store.leases.find(made.id, 99.0) is None


def test_the_machines_of_an_org_in_the_order_of_their_changes(store: Store) -> None:
    store.apps.create(name="other", app_id="2", org="else", network="n", now=1.0)
    for number, app in enumerate(["shop", "shop", "other", "shop"]):
        made = machine(id=f"{number:014x}", app=app, name=f"m{number}", slot=number + 1, updated_at=10.0 - number // 2)
        store.machines.add(made, replace(event(number), machine_id=made.id))
    found = store.machines.of_org(OrgListing("personal"))
    assert [m.id[-1] for m in found] == ["3", "0", "1"]
    assert [m.id[-1] for m in store.machines.of_org(OrgListing("personal", after=(10.0, found[1].id)))] == ["1"]
    assert [m.id[-1] for m in store.machines.of_org(OrgListing("personal", limit=2))] == ["3", "0"]
    assert list(store.machines.of_org(OrgListing("personal", states=frozenset(["stopped"])))) == []


def test_a_database_of_the_release_before_is_taken_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        there = {column["name"] for column in inspect(connection).get_columns("machines")}
        row = {name: value for name, value in machine_values(machine()).items() if name in there}
        connection.execute(insert(machines).values(**row))
    engine.dispose()
    store = Store(url)
    assert store.machines.list() == [machine()]
    assert store.versions.list(machine().id) == []
    store.versions.begin(Update(machine().id, version(1), machine().instance_id, launch=True, revive=True))
    store.close()


def test_answers_are_kept_and_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        store.replays.keep(bytes([number]), Kept(b"r", 200, "a/b", b"x" * 1000, 10.0 + number))
    assert store.replays.find(b"\x01", 11.0) == Kept(b"r", 200, "a/b", b"x" * 1000, 11.0)
    assert store.replays.find(b"\x01", 11.5) is None
    store.replays.keep(b"\x01", Kept(b"r", 201, "", b"", 20.0))
    assert store.replays.find(b"\x01", 0.0) == Kept(b"r", 201, "", b"", 20.0)
    store.replays.forget_before(11.0)
    assert store.replays.find(b"\x00", 0.0) is None
    monkeypatch.setattr(replays, "TOTAL", 2_100)
    store.replays.forget_before(0.0)
    assert [number for number in range(4) if store.replays.find(bytes([number]), 0.0)] == [1, 3]


def test_the_images_of_containers_are_in_use(store: Store) -> None:
    several = (Container("a", image="x", image_digest="sha256:a"), Container("b"))
    store.machines.add(machine(config=replace(WEB, containers=several)), event(0))
    assert store.machines.image_digests() == {"sha256:a", machine().image_digest}
