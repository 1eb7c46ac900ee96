"""A network policy that the host can't keep is not made, and spoils nothing."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.factory import machine

from roost.control.core import Core
from roost.control.network_policies import NetworkPolicies
from roost.model.app import Event
from roost.model.cloud import Cloud
from roost.model.errors import HostFailure, Unavailable
from roost.model.machine import MachineState
from roost.model.network_policy import NO_FILTER, Direction, Filter, Port, Rule, Selector
from roost.store.store import Store

RULES = (Rule(Direction.INGRESS, (Port("tcp", 80),)),)


class Host:
    """One whose kernel refuses every limit."""

    def __init__(self) -> None:
        self.asked: list[Filter] = []

    def limit(self, machine_id: str, ipv4: object, ipv6: object, allowed: Filter) -> None:
        self.asked.append(allowed)
        if allowed != NO_FILTER:
            raise HostFailure("nft failed with 1: too many elements")


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path}/state.db")
    nothing = cast(Any, None)
    yield Core(cloud, store, host=cast(Any, Host()), edge=nothing, images=nothing, builder=nothing, vault=nothing)
    store.close()


def test_it_is_refused_with_the_reason(core: Core) -> None:
    core.store.apps.create(name="shop", app_id="a1", org="personal", network="default", now=1000.0)
    running = machine(state=MachineState.STARTED)
    core.store.machines.add(running, Event("01J", running.id, "start", "started", "user", {}, 1000.0))
    policies = NetworkPolicies(core)
    with pytest.raises(Unavailable, match="too many elements") as refused:
        policies.create("shop", "web", Selector(True), RULES)
    assert (refused.value.status, bool(refused.value.hint)) == (503, True)
    assert policies.list("shop") == []
    assert cast(Any, core.host).asked[-1] == NO_FILTER, "the machine has again what it had"
