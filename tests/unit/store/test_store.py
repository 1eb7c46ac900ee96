from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.unit.factory import exited, machine

from roost.model.app import Event, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.autoscale import GroupPolicy
from roost.model.errors import DatabaseFull, InsufficientCapacity, NameTaken, NotFound
from roost.model.machine import MachineState
from roost.model.operation import Operation, OperationState
from roost.store.machines import EVENTS_KEPT
from roost.store.schema import metadata
from roost.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


def event(number: int = 0, machine_id: str = "0123456789abcd") -> Event:
    return Event(
        f"01J{number:022d}{machine_id[0]}", machine_id, "start", "started", "user", {"n": number}, 1000.0 + number
    )


def test_the_migrations_make_the_schema(store: Store) -> None:
    with store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    first = Store(url)
    first.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    first.close()
    second = Store(url)
    assert second.apps.get("shop").number == 1
    second.close()


def test_what_is_asked_again_and_again_is_as_new_as_the_latest_write(store: Store) -> None:
    started, asleep = (machine(id=f"{n:014x}", name=f"m{n}", slot=n, state=MachineState.STARTED) for n in (1, 2))
    assert store.machines.in_states(MachineState.STARTED) == []
    store.machines.add(started, event())
    store.machines.add(asleep, event(1, asleep.id))
    found = store.machines.in_states(MachineState.STARTED)
    assert sorted(one.id for one in found) == [started.id, asleep.id]
    found.clear()  # each who asks has a list of their own
    store.machines.save(replace(asleep, state=MachineState.SUSPENDED), event(2, asleep.id))
    assert [one.id for one in store.machines.in_states(MachineState.STARTED)] == [started.id]
    assert [one.id for one in store.machines.in_states(MachineState.SUSPENDED)] == [asleep.id]
    assert store.autoscale.policies() == []
    store.autoscale.put(GroupPolicy("shop", "app", None, "api"))
    assert [one.app for one in store.autoscale.policies()] == ["shop"]


def test_an_answer_is_kept_until_something_is_written_and_one_that_fails_is_not(store: Store) -> None:
    asked: list[int] = []

    def read() -> int:
        asked.append(len(asked))
        if len(asked) == 2:
            raise ValueError("the second question fails")
        return len(asked)

    assert [store.database.unchanged("q", read) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(ZeroDivisionError), store.database.write():
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="second"):
        store.database.unchanged("q", read)
    assert [store.database.unchanged("q", read) for _ in range(2)] == [3, 3]


def test_who_asks_while_others_write_never_gets_what_was_before_a_write_that_has_returned(store: Store) -> None:
    stop, stale = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            written = done
            if len(store.autoscale.policies()) < written:
                stale.append(written)

    done = 0
    asker = threading.Thread(target=ask)
    asker.start()
    for number in range(100):
        store.autoscale.put(GroupPolicy(f"app-{number}", "app", None, "api"))
        done = number + 1
    stop.set()
    asker.join()
    assert stale == []


def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/state.db")
    with store.database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # SQLite answers as for a full disk

    def fill() -> None:
        for number in range(200):
            store.apps.create(name=f"shop-{number}", app_id=str(number), org="o", network="n" * 200, now=1.0)

    with pytest.raises(DatabaseFull, match="disk"):
        fill()
    kept = len(store.apps.list())
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.apps.create(name="after", app_id="x", org="o", network="n", now=1.0)
    assert len(store.apps.list()) == kept + 1
    store.close()


def test_app_names_are_unique(store: Store) -> None:
    store.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    with pytest.raises(NameTaken, match="already been taken"):
        store.apps.create(name="shop", app_id="2", org="other", network="n", now=1.0)
    assert [app.org for app in store.apps.list()] == ["personal"]


def test_a_machine_comes_back_as_it_was_written(store: Store) -> None:
    written = machine(last_exit=exited(3, oom_killed=True), state=MachineState.STOPPED, cordoned=True)
    store.machines.add(written, event())
    assert store.machines.get("shop", written.id) == written
    with pytest.raises(NotFound):
        store.machines.get("another-app", written.id)
    changed = replace(written, state=MachineState.STARTING, restarts=4)
    store.machines.save(changed, event(1))
    assert store.machines.find(written.id) == changed
    assert [e.detail["n"] for e in store.events.list(written.id, 10)] == [1, 0]


def test_slots_are_the_lowest_free_ones_and_end(store: Store) -> None:
    for slot in (1, 2, 3):
        assert store.machines.free_slot(5) == slot
        store.machines.add(machine(id=f"{slot:014x}", name=str(slot), slot=slot), event(slot))
    store.machines.remove(f"{2:014x}")
    assert store.machines.free_slot(5) == 2
    store.machines.remove(f"{1:014x}")
    assert store.machines.free_slot(5) == 1
    for slot in (1, 2, 4):
        store.machines.add(machine(id=f"{slot + 100:014x}", name=f"x{slot}", slot=slot), event(100 + slot))
    with pytest.raises(InsufficientCapacity):
        store.machines.free_slot(5)


def test_only_the_latest_events_of_a_machine_are_kept(store: Store) -> None:
    for number in range(EVENTS_KEPT + 20):
        store.events.add(event(number), "shop")
    store.events.add(event(0, "b" * 14), "shop")
    store.events.trim()
    assert len(store.events.list("b" * 14, 10)) == 1
    kept = store.events.list("0123456789abcd", 1000)
    assert len(kept) == EVENTS_KEPT
    assert kept[0].detail["n"] == EVENTS_KEPT + 19


def test_releases_count_up_and_secrets_are_replaced(store: Store) -> None:
    store.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    for _ in range(2):
        release = store.releases.add(
            "shop",
            image_digest="d",
            image_reference="r",
            config=AppConfig(app="shop"),
            processes={"app": "run"},
            reason="",
            now=1.0,
        )
    store.releases.set_state("shop", 2, ReleaseState.FAILED, "it exited")
    assert release.version == 2
    latest = store.releases.list("shop")[0]
    assert (latest.version, latest.state, latest.reason) == (
        2,
        ReleaseState.FAILED,
        "it exited",
    )
    assert store.secrets.set("shop", {"A": (b"1", "x"), "B": (b"2", "y")}, 5.0) == 1
    assert store.secrets.set("shop", {"A": None, "B": (b"3", "z")}, 9.0) == 2
    (left,) = store.secrets.list("shop")
    assert (left.name, left.sealed, left.created_at, left.updated_at) == ("B", b"3", 5.0, 9.0)
    store.apps.remove("shop", now=9.0)
    assert store.releases.list("shop") == []
    assert store.secrets.list("shop") == []


def test_secret_arguments_of_an_operation_go_when_it_ends(store: Store) -> None:
    operation = Operation("01J", "deploy", "shop", OperationState.RUNNING, "", ("a",), {"x": 1}, {}, "", "", 1.0, 1.0)
    store.operations.add(operation, b"sealed")
    assert store.operations.sealed("01J") == b"sealed"
    store.operations.report("01J", [("log", "a", "one", 1.0), ("log", "a", "two", 1.0)])
    store.operations.report("01J", [("done", "a", "done", 2.0)])
    assert [(p.number, p.text) for p in store.operations.progress("01J", 1)] == [(2, "two"), (3, "done")]
    store.operations.save(replace(operation, state=OperationState.SUCCEEDED, updated_at=2.0))
    assert store.operations.sealed("01J") is None
    assert store.operations.list("shop", running=True) == []
    store.operations.forget_before(3.0)
    assert store.operations.list("shop") == []


def test_the_events_of_many_machines_at_once_are_those_of_each(store: Store) -> None:
    machines = [f"{number:014x}" for number in range(1200)]
    for number in range(3):
        store.events.add(event(number, machines[0]), "shop")
        store.events.add(event(number + 3, machines[-1]), "shop")
    found = store.events.of_machines(machines, 2)
    assert found == {key: store.events.list(key, 2) for key in (machines[0], machines[-1])}
    assert store.events.of_machines([], 2) == {}


def test_a_machine_is_found_by_its_slot(store: Store) -> None:
    store.apps.create(name="shop", app_id="a1", org="personal", network="personal-default", now=1.0)
    made = machine(slot=7)
    store.machines.add(made, event())
    assert store.machines.on_slot(7) == made
    assert store.machines.on_slot(8) is None


def test_groups_scaled_to_nothing_are_known_until_they_are_scaled_again(store: Store) -> None:
    store.apps.create(name="shop", app_id="1", org="personal", network="n", now=1.0)
    store.empty_groups.scaled("shop", {"web": 0, "worker": 2})
    store.empty_groups.scaled("shop", {"worker": 0})
    store.empty_groups.scaled("shop", {"worker": 0})
    assert store.empty_groups.of("shop") == {"web", "worker"} and not store.empty_groups.of("other")
    store.empty_groups.scaled("shop", {"web": 1})
    assert store.empty_groups.of("shop") == {"worker"}
    store.apps.remove("shop", now=2.0)
    assert not store.empty_groups.of("shop"), "a later app of its name knows nothing of it"
