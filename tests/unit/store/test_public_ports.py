"""Ports belong to who came first, all of those asked for or none, and go with their app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.factory import machine

from roost.model.app import Event
from roost.model.errors import Conflict
from roost.model.machine_config import MachineConfig
from roost.model.port_options import HttpOptions
from roost.model.service_config import Port, Service
from roost.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/state.db")
    for number, name in enumerate(("shop", "blog")):
        made.apps.create(name=name, app_id=str(number), org="personal", network="n", now=1.0)
    yield made
    made.close()


def test_first_come_first_served(store: Store) -> None:
    ports = store.public_ports
    ports.claim("shop", [("tcp", 5432), ("udp", 53)], 1.0)
    with pytest.raises(Conflict, match=r"port 5432 \(tcp\) is taken by the app 'shop'"):
        ports.claim("blog", [("tcp", 6000), ("tcp", 5432)], 2.0)
    assert ports.of_app("blog") == [], "all or none"
    ports.claim("blog", [("udp", 5432)], 2.0)
    assert ports.all() == {"shop": [("tcp", 5432), ("udp", 53)], "blog": [("udp", 5432)]}


def test_a_port_is_released_unless_it_was_claimed_anew(store: Store) -> None:
    ports = store.public_ports
    ports.claim("shop", [("tcp", 1), ("tcp", 2)], 1.0)
    ports.claim("shop", [("tcp", 2)], 10.0)
    assert ports.release("shop", [("tcp", 1), ("tcp", 2), ("tcp", 3)], claimed_before=5.0) == [("tcp", 1)]
    assert ports.release("blog", [("tcp", 2)], claimed_before=50.0) == []
    store.apps.remove("shop", now=9.0)
    assert ports.all() == {}


def test_apps_with_a_key(store: Store) -> None:
    spoken = Port(443, ("tls", "http"), http=HttpOptions(h2_backend=True))
    config = MachineConfig(image="x", services=(Service(80, ports=(spoken,)),))
    made = machine(config=config)
    store.machines.add(made, Event("0", made.id, "launch", "created", "user", {}, 1.0))
    assert store.machines.apps_with("h2_backend") == [made.app]
    assert store.machines.apps_with("h2_backen_") == []
