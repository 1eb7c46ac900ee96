"""Network policies: how they are read, whom they select, and what they leave a machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.factory import machine

from roost.model.errors import BadInput, Unprocessable
from roost.model.ip_assignment import check_type
from roost.model.network_policy import (
    Filter,
    NetworkPolicy,
    Port,
    read_rules,
    read_selector,
    rules_to_json,
    selector_to_json,
)
from roost.plan.network_filter import filter_of, selects

WEB, DNS = Port("tcp", 80), Port("udp", 53)
LABELLED = machine(config=replace(machine().config, metadata={"role": "db", "tier": "1"}))


def policy(*rules: dict[str, Any], selector: dict[str, Any] | None = None) -> NetworkPolicy:
    return NetworkPolicy("np_0", "shop", "p", read_selector(selector or {"all": True}), read_rules(list(rules)), 0.0)


def allow(direction: str, *ports: Port) -> dict[str, Any]:
    return {
        "action": "allow",
        "direction": direction,
        "ports": [{"protocol": port.protocol, "port": port.port} for port in ports],
    }


def test_without_policies_nothing_is_limited() -> None:
    assert filter_of(machine(), []) == Filter()


def test_a_rule_limits_its_direction_only() -> None:
    assert filter_of(machine(), [policy(allow("ingress", WEB))]) == Filter(frozenset({WEB}), None)
    assert filter_of(machine(), [policy(allow("egress", DNS))]) == Filter(None, frozenset({DNS}))


def test_policies_add_up() -> None:
    both = [policy(allow("ingress", WEB)), policy(allow("ingress", DNS), allow("egress", WEB))]
    assert filter_of(machine(), both) == Filter(frozenset({WEB, DNS}), frozenset({WEB}))


def test_a_rule_without_ports_allows_everything() -> None:
    assert filter_of(machine(), [policy(allow("ingress", WEB)), policy(allow("ingress"))]) == Filter()


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ({"all": True}, True),
        ({"machines": [{"id": "0123456789abcd"}]}, True),
        ({"machines": ["0123456789abcd"]}, True),
        ({"machines": ["aaaaaaaaaaaaaa"]}, False),
        ({"metadata": {"role": "db"}}, True),
        ({"metadata": {"role": "db", "tier": "2"}}, False),
        ({"all": True, "metadata": {"role": "web"}}, False),
        ({"machines": ["0123456789abcd"], "metadata": {"role": "web"}}, False),
    ],
)
def test_selectors(selector: dict[str, Any], chosen: bool) -> None:
    read = read_selector(selector)
    assert selects(read, LABELLED) is chosen
    assert read_selector(selector_to_json(read)) == read
    assert (filter_of(LABELLED, [policy(allow("ingress", WEB), selector=selector)]) != Filter()) is chosen


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "rules must be a list of 1"),
        ([{"action": "deny", "direction": "ingress"}], r"rules\[0\].action must be allow"),
        ([{"direction": "up"}], r"rules\[0\].direction must be one of ingress, egress"),
        ([{"action": "allow"}], r"rules\[0\].direction is missing"),
        ([{"direction": "egress", "ports": [{"protocol": "icmp", "port": 1}]}], r"ports\[0\].protocol must be one of"),
        ([{"direction": "egress", "ports": [{"protocol": "tcp", "port": 0}]}], r"ports\[0\].port must be a whole"),
        ([{"direction": "egress", "ports": [{"protocol": "tcp"}]}], r"ports\[0\].port is missing"),
        ([{"direction": "egress", "ports": [{"protocol": "tcp", "port": True}]}], r"ports\[0\].port must be"),
        ([{"direction": "egress", "cidr": "0.0.0.0/0"}], "cidr"),
        ([{"direction": "egress"}] * 51, "rules must be a list"),
    ],
)
def test_bad_rules_name_the_key(rules: list[Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_rules(rules)


@pytest.mark.parametrize("selector", [{}, {"all": False}, {"machines": ["x"]}, {"machines": [7]}, {"region": "a"}])
def test_bad_selectors_are_refused(selector: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        read_selector(selector)


def test_rules_survive_their_json() -> None:
    rules = read_rules([allow("ingress", WEB, DNS), allow("egress")])
    assert read_rules(rules_to_json(rules)) == rules


def test_addresses_that_a_server_does_not_have_are_refused_with_the_reason() -> None:
    assert check_type("shared_v4") == "shared_v4"
    for kind in ("v4", "v6", "egress_v4", "egress_v6", "egress_pair"):
        with pytest.raises(Unprocessable, match=kind):
            check_type(kind)
    with pytest.raises(BadInput):
        check_type("v5")
