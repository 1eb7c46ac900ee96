"""The audit log: written soon, in order, bounded, and never in the way of a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.control import audit as module
from roost.control.audit import Audit
from roost.model.audit import Called
from roost.model.errors import DatabaseFull
from roost.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(f"sqlite:///{tmp_path}/state.db")
    found.apps.create(name="shop", app_id="1", org="acme", network="acme-default", now=1.0)
    yield found
    found.close()


def call(number: int, *, app: str = "shop", status: int = 200) -> Called:
    return Called(
        float(number), "ci", "", "0011", "POST", "/v1/apps/{app}/deploys", "192.0.2.1", status, f"r{number}",
        {"app": app} if app else {},
    )  # fmt: skip


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_are_there_at_once_for_who_asks_newest_first(store: Store) -> None:
    log = Audit(store)
    for number in range(1, 4):
        log.record(call(number))
    found = log.list()
    assert [entry.request_id for entry in found] == ["r3", "r2", "r1"]
    assert (found[0].org, found[0].app, found[0].subject) == ("acme", "shop", {"app": "shop"})
    assert [entry.request_id for entry in log.list(limit=2, before=found[0].id)] == ["r2", "r1"]
    assert [entry.request_id for entry in log.list(since=2.0, apps=["shop"])] == ["r3", "r2"]
    assert log.list(orgs=["other"]) == []


def test_lines_are_written_without_being_asked_for(store: Store) -> None:
    log = Audit(store)
    log.record(call(1))
    until(lambda: len(store.audit.list()) == 1)
    log.record(call(2))
    until(lambda: len(store.audit.list()) == 2)


def test_the_org_of_an_app_that_is_gone_is_remembered(store: Store) -> None:
    log = Audit(store)
    log.record(call(1))
    log.flush()
    store.apps.remove("shop", now=9.0)
    log.record(call(2))
    assert [entry.org for entry in log.list()] == ["acme", "acme"]


def test_a_full_disk_loses_no_line_and_fails_no_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = Audit(store), store.audit.add
    monkeypatch.setattr(module, "RETRY", 0.01)

    def full(_entries: object) -> None:
        raise DatabaseFull("full")

    monkeypatch.setattr(store.audit, "add", full)
    log.record(call(1))
    assert log.list() == []
    monkeypatch.setattr(store.audit, "add", write)
    until(lambda: len(store.audit.list()) == 1)


def test_what_waits_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 5)
    monkeypatch.setattr(module, "TOGETHER", 5.0)
    log = Audit(store)
    for number in range(10):
        log.record(call(number))
    assert len(log.list()) == 5


def test_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Audit(store)
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(1, 7):
        log.record(call(number))
    log.flush()
    log.trim(module.KEPT + 2.0)
    assert [entry.request_id for entry in log.list()] == ["r6", "r5", "r4"]
    log.trim(module.KEPT + 6.0)
    assert [entry.request_id for entry in log.list()] == ["r6"]


def test_noting_a_call_takes_no_time(store: Store) -> None:
    log = Audit(store)
    began = time.perf_counter()
    for number in range(2_000):
        log.record(call(number))
    assert (time.perf_counter() - began) / 2_000 < 0.001  # seconds each; it takes about 10 microseconds
    assert len(log.list(limit=5_000)) == 2_000
