"""`[edge]` of config.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.daemon.edge_settings import USUAL, EdgeSettings, read_edge
from roost.daemon.settings import read_settings
from roost.model.errors import BadInput
from roost.model.rate_limit import RateLimit


def test_what_a_client_address_may_ask_for() -> None:
    assert read_edge({}) == EdgeSettings(by_address=USUAL)
    assert read_edge({"address_per_second": 0}).by_address is None
    assert read_edge({"address_per_second": 20}).by_address == RateLimit(20.0, 40)
    assert read_edge({"address_per_second": 20, "address_burst": 30}).by_address == RateLimit(20.0, 30)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("address_per_second = -1", "edge.address_per_second"),
        ("address_per_second = true", "edge.address_per_second"),
        ("address_burst = 5", "edge.address_burst needs edge.address_per_second"),
        ("address_per_second = 0\naddress_burst = 5", "edge.address_burst has no effect"),
        ("address_connections = -1", "edge.address_connections"),
        ("address_connections = true", "edge.address_connections"),
        ("address_new_connections = 1.5", "edge.address_new_connections"),
        ("cells = 0", "edge.cells"),
        ('address = "x"', "edge.address"),
        ("own_cells = 1", "edge.own_cells"),
        ("service_ports = 5432", "edge.service_ports"),
        ("http3 = 1", "edge.http3"),
        ("udp_client_address = 1", "edge.udp_client_address"),
        ("http3 = true\ncells = 2", "edge.http3 can't be had with several cells"),
        ("adress_burst = 5", "edge.adress_burst is not a setting"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.toml").write_text(f"[edge]\n{text}\n")
    with pytest.raises(BadInput) as caught:
        read_settings(tmp_path, {})
    assert named in caught.value.message
