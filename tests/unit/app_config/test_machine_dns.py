from __future__ import annotations

from typing import Any

import pytest

from roost.host.contract import Resolving
from roost.host.oci_spec import resolver_file
from roost.model.errors import BadInput
from roost.model.machine_config import machine_config_to_json, read_machine_config

FULL: dict[str, Any] = {
    "skip_registration": True,
    "nameservers": ["9.9.9.9", "fdaa::3"],
    "searches": ["internal", "corp.example."],
    "options": [{"name": "ndots", "value": "2"}, {"name": "rotate", "value": ""}],
    "hostname": "db-1",
    "hostname_fqdn": "db-1.corp.example",
}


def read(dns: Any) -> Any:
    return read_machine_config({"image": "x", "dns": dns})


def test_it_comes_back_as_it_went_in() -> None:
    config = read(FULL)
    assert machine_config_to_json(config)["dns"] == FULL
    assert read_machine_config(machine_config_to_json(config)) == config
    assert machine_config_to_json(read(None))["dns"] == {}


@pytest.mark.parametrize(
    ("dns", "said"),
    [
        ({"nameservers": ["nobody"]}, "config.dns.nameservers: 'nobody' is not an IP address"),
        ({"nameservers": ["1.1.1.1"] * 4}, "3 nameservers"),
        ({"searches": ["a b"]}, "config.dns.searches: 'a b' is not a domain name"),
        ({"searches": ["x\nnameserver 6.6.6.6"]}, "is not a domain name"),
        ({"options": [{"name": "ndots\noptions", "value": "2"}]}, "config.dns.options[0]"),
        ({"hostname": "a.b"}, "config.dns.hostname"),
        ({"hostname_fqdn": "-"}, "config.dns.hostname_fqdn"),
        ({"dns_forward_rules": [{"basename": "x"}]}, "config.dns.dns_forward_rules is not supported"),
        ([1], "config.dns must be an object"),
    ],
)
def test_what_can_not_be_honoured_is_named(dns: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(dns)
    assert said in caught.value.message


def test_the_resolver_file() -> None:
    assert resolver_file(Resolving(), ["10.1.0.3"]) == "nameserver 10.1.0.3\n"
    own = Resolving(("9.9.9.9",), ("internal",), ("ndots:2", "rotate"))
    assert resolver_file(own, ["10.1.0.3"]) == "nameserver 9.9.9.9\nsearch internal\noptions ndots:2 rotate\n"
