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
        ('trusted_proxies = "192.0.2.1"', "edge.trusted_proxies must be a list"),
        ('trusted_proxies = ["192.0.2.1/24"]', "edge.trusted_proxies: 192.0.2.1/24 has host bits set"),
        ('trusted_proxies = ["proxy"]', "edge.trusted_proxies: 'proxy'"),
        ('trusted_proxies = ["0.0.0.0/0"]', "edge.trusted_proxies must not name all"),
        ('trusted_proxies = ["0.0.0.0/1", "128.0.0.0/1"]', "edge.trusted_proxies must not name all"),
        ('trusted_proxies = ["::/1", "8000::/1"]', "edge.trusted_proxies must not name all"),
        ('trusted_proxies = ["::ffff:0:0/96"]', "edge.trusted_proxies must not name all"),
        ("udp_client_address = 1", "edge.udp_client_address"),
        ('proxy_protocol_from = "10.0.0.1"', "edge.proxy_protocol_from must be a list"),
        ('proxy_protocol_from = ["10.0.0.1/24"]', "edge.proxy_protocol_from must be a list"),
        ('proxy_protocol_from = ["0.0.0.0/1", "128.0.0.0/1"]', "edge.proxy_protocol_from must not be everybody"),
        ("adress_burst = 5", "edge.adress_burst is not a setting"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.toml").write_text(f"[edge]\n{text}\n")
    with pytest.raises(BadInput) as caught:
        read_settings(tmp_path, {})
    assert named in caught.value.message


def test_each_cell_has_a_port_for_http3() -> None:
    assert list(read_edge({"http3": True}).http3_ports(443)) == [443]
    assert list(read_edge({"http3": True, "cells": 2, "own_cells": ["acme"]}).http3_ports(443)) == [443, 444, 445]
    assert not read_edge({"http3": True, "cells": 2}).http3_ports(0)
    assert not read_edge({"cells": 2}).http3_ports(443)


def test_trusted_proxies_are_networks_and_have_no_limit_of_connections() -> None:
    found = read_edge({"trusted_proxies": ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "192.0.3.0/24"]})
    assert found.trusted_proxies == ("192.0.2.0/23", "2001:db8::1/128")
    assert found.clients.trusted == ("192.0.2.0/23",)
