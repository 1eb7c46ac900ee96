"""The port for Postgres is shared by name, or one app's own: never both."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.control import public_ports
from roost.control.public_ports import claim_ports
from roost.model.errors import Conflict
from roost.model.machine_config import Port, Service
from roost.plan.public_ports import PortRules
from roost.store.database import Database
from roost.store.public_ports import PublicPorts

OWN, BY_NAME = Service(5432, "tcp", (Port(15432),)), Service(5432, "tcp", (Port(5432, ("pg_tls",)),))


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(public_ports, "port_is_free", lambda protocol, port: (protocol, port) not in taken)
    taken: set[tuple[str, int]] = set()
    status = SimpleNamespace(detail={})
    return SimpleNamespace(
        taken=taken,
        detail=status.detail,
        now=lambda: 1.0,
        store=SimpleNamespace(public_ports=PublicPorts(Database(f"sqlite:///{tmp_path / 'state.db'}"))),
        edge=SimpleNamespace(status=lambda: status),
        port_rules=PortRules(80, 443, postgres=15432),
    )


def test_apps_share_it_by_name_and_nobody_has_it_alone(core: Any) -> None:
    claim_ports(core, "shop", [BY_NAME])
    claim_ports(core, "blog", [BY_NAME])
    with pytest.raises(Conflict, match=r"port 15432 .* is shared by apps with the handler pg_tls, like 'blog'"):
        claim_ports(core, "shop", [BY_NAME, OWN])
    with pytest.raises(Conflict, match="is shared by apps"):
        claim_ports(core, "other", [OWN])
    rows = core.store.public_ports.all()
    assert rows == {"shop": [("pg:shop", 5432)], "blog": [("pg:blog", 5432)]}


def test_one_has_it_alone_and_may_change_its_mind(core: Any) -> None:
    claim_ports(core, "shop", [OWN])
    with pytest.raises(Conflict, match=r"port 15432 .* belongs to the app 'shop' alone"):
        claim_ports(core, "blog", [BY_NAME])
    assert core.store.public_ports.of_app("blog") == []
    core.taken.add(("tcp", 15432))  # by the edge, for the app
    claim_ports(core, "shop", [BY_NAME])
    assert core.store.public_ports.of_app("shop") == [("pg:shop", 5432), ("tcp", 15432)]


def test_another_program_may_have_it(core: Any) -> None:
    core.taken.add(("tcp", 15432))
    with pytest.raises(Conflict, match="taken by another program"):
        claim_ports(core, "shop", [BY_NAME])
    core.detail["postgres"] = {"pid": 1}  # the edge's own front
    claim_ports(core, "shop", [BY_NAME])
