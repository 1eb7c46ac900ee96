from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import WEB, machine

from roost.model.dns_config import Dns
from roost.model.machine import MachineState
from roost.plan.internal_names import Asked, Question, listed, text, understand


def test_a_private_address_at_the_edge() -> None:
    assert understand("Shop.flycast.") == Question(Asked.PRIVATE, "shop")
    assert understand("a.shop.flycast") is None
    assert understand("flycast") is None


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("shop.internal.", Question(Asked.APP, "shop")),
        ("SHOP.Internal", Question(Asked.APP, "shop")),
        ("global.shop.internal", Question(Asked.APP, "shop")),
        ("local.shop.internal", Question(Asked.REGION, "shop", value="local")),
        ("worker.process.shop.internal", Question(Asked.GROUP, "shop", value="worker")),
        ("top3.nearest.of.shop.internal", Question(Asked.NEAREST, "shop", value="3")),
        ("0123456789abcd.vm.shop.internal", Question(Asked.MACHINE, "shop", value="0123456789abcd")),
        ("primary.role.kv._metadata.shop.internal", Question(Asked.METADATA, "shop", value="primary", key="role")),
        ("1.2.version.kv._metadata.shop.internal", Question(Asked.METADATA, "shop", value="1.2", key="version")),
        ("regions.shop.internal", Question(Asked.REGIONS, "shop")),
        ("all.regions.shop.internal", Question(Asked.REGIONS, "shop", all=True)),
        ("vms.shop.internal", Question(Asked.MACHINES, "shop")),
        ("all.vms.shop.internal", Question(Asked.MACHINES, "shop", all=True)),
        ("_apps.internal", Question(Asked.APPS)),
        ("_peer.internal", Question(Asked.PEERS)),
        ("_instances.internal", Question(Asked.INSTANCES)),
        ("all._instances.internal", Question(Asked.INSTANCES, all=True)),
    ],
)
def test_every_form_of_the_reference(name: str, question: Question) -> None:
    assert understand(name) == question


@pytest.mark.parametrize(
    "name", ["internal", "a..internal", "x.y.z.shop.internal", "_x.internal", "me._peer.internal.x"]
)
def test_others_are_no_names(name: str) -> None:
    assert understand(name) is None


@given(st.text(max_size=80))
def test_any_text_is_understood_or_not(name: str) -> None:
    understand(name)
    understand(f"{name}.internal.")


FIRST = machine(id="a" * 14, created_at=1.0)
SECOND = machine(id="b" * 14, created_at=2.0, process_group="worker", config=replace(WEB, metadata={"Role": "Primary"}))
ASLEEP = machine(id="c" * 14, created_at=3.0, state=MachineState.SUSPENDED, region="fra")
HIDDEN = machine(id="d" * 14, created_at=0.0, config=replace(WEB, dns=Dns(skip_registration=True)))
ALL = [HIDDEN, ASLEEP, SECOND, FIRST]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("shop", [FIRST, SECOND]),
        ("local.shop", [FIRST, SECOND]),
        ("fra.shop", []),
        ("worker.process.shop", [SECOND]),
        ("top1.nearest.of.shop", [FIRST]),
        ("top0.nearest.of.shop", []),
        (f"{'b' * 14}.vm.shop", [SECOND]),
        (f"{'c' * 14}.vm.shop", []),
        ("primary.role.kv._metadata.shop", [SECOND]),
        ("other.role.kv._metadata.shop", []),
        ("all.vms.shop", [FIRST, SECOND, ASLEEP]),
    ],
)
def test_only_started_machines_are_listed_oldest_first(name: str, found: list[object]) -> None:
    question = understand(f"{name}.internal")
    assert question is not None
    assert listed(question, ALL) == found


def test_texts() -> None:
    def answer(name: str) -> str:
        question = understand(f"{name}.internal")
        assert question is not None
        return text(question, listed(question, ALL), ["shop", "blog"])

    assert answer("regions.shop") == "local"
    assert answer("all.regions.shop") == "fra,local"
    assert answer("vms.shop") == f"{'a' * 14} local,{'b' * 14} local"
    assert answer("_apps") == "blog,shop"
    assert answer("_peer") == ""
    assert answer("_instances").startswith(f"instance={'a' * 14},app=shop,ip=fdaa:1234:5678::101,region=local;")
