"""The pure parts of the network: names, numbers, rules' text, resolvers."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.host.network import link_name
from roost.host.network_forwarding import allow_forwarding, forwarding
from roost.host.network_groups import NetworkGroups, choose
from roost.host.network_resolvers import host_resolvers, parse_resolvers
from roost.host.nftables import PREPARED_GROUPS, Rules, render
from roost.model.cloud import Cloud

CLOUD = Cloud("0a1b2c3d", Path("/x"), 1, 2, "test", IPv4Network("10.9.0.0/16"))
RULES = Rules("roost_t", "rt", IPv4Network("10.9.0.0/16"), IPv6Network("fdaa::/48"))


@given(st.text(max_size=300))
def test_link_names_fit_the_kernel(name: str) -> None:
    link = link_name(CLOUD, name)
    assert len(link) <= 15
    assert link.startswith(CLOUD.interface_prefix)
    assert link.isalnum()


def test_link_names_differ() -> None:
    assert len({link_name(CLOUD, f"m{i}") for i in range(1000)}) == 1000


@given(
    st.dictionaries(st.text(max_size=5), st.integers(1, 400), max_size=20),
    st.text(max_size=5),
    st.frozensets(st.integers(1, 400), max_size=20),
)
def test_a_new_network_never_gets_a_number_in_use(known: dict[str, int], name: str, in_use: frozenset[int]) -> None:
    chosen = choose(known, name, in_use)
    if name in known:
        assert chosen == known
    else:
        assert chosen[name] not in in_use
        assert chosen[name] not in known.values()
        assert chosen[name] >= 1


def test_numbers_of_gone_networks_are_used_again_when_the_prepared_ones_run_out() -> None:
    known = {f"n{i}": i for i in range(1, PREPARED_GROUPS + 1)}
    chosen = choose(known, "new", frozenset({1, 2}))
    assert chosen == {"n1": 1, "n2": 2, "new": 3}
    crowded = choose(known, "new", frozenset(known.values()))
    assert crowded["new"] == PREPARED_GROUPS + 1


def test_numbers_are_remembered(tmp_path: Path) -> None:
    groups = NetworkGroups(tmp_path, lambda: frozenset({1}))
    with groups.held("a") as first, NetworkGroups(tmp_path / "x", frozenset).held("a"):
        assert first == 2
    again = NetworkGroups(tmp_path, frozenset)
    with again.held("a") as number:
        assert number == 2
    assert again.numbers() == (2,)
    again.remove()
    assert again.numbers() == ()


def test_rules_replace_the_table_in_one_transaction() -> None:
    text = render(RULES)
    assert text.index("delete table inet roost_t\n") < text.index("chain")
    assert f"{PREPARED_GROUPS} . {PREPARED_GROUPS} }}" in text
    assert "300 . 300" in render(Rules("t", "r", RULES.ipv4, RULES.ipv6, groups=(300,)))


@pytest.mark.parametrize(
    ("resolver", "rule"),
    [("169.254.169.254", True), ("fd00:ec2::253", True), ("9.9.9.9", False), ("10.0.0.2", False)],
)
def test_a_resolver_among_metadata_addresses_answers_on_port_53_only(resolver: str, rule: bool) -> None:
    text = render(Rules("t", "r", RULES.ipv4, RULES.ipv6, resolvers=(resolver,)))
    accepted = [line for line in text.splitlines() if f"daddr {resolver} " in line]
    assert bool(accepted) is rule
    assert all("th dport 53 accept" in line for line in accepted)


def test_resolvers_that_mean_something_else_in_a_machine_are_left_out() -> None:
    text = """# comment
search example.com
nameserver 127.0.0.53
nameserver ::1
nameserver fe80::1%eth0
nameserver 0.0.0.0
nameserver not-an-address; rm -rf /
nameserver
nameserver 9.9.9.9
nameserver 9.9.9.9
nameserver 2620:fe::fe
"""
    assert parse_resolvers(text) == ("9.9.9.9", "2620:fe::fe")


def test_the_first_file_with_upstream_resolvers_counts(tmp_path: Path) -> None:
    stub, upstream = tmp_path / "stub", tmp_path / "upstream"
    stub.write_text("nameserver 127.0.0.53\n")
    upstream.write_text("".join(f"nameserver 192.0.2.{n}0\n" for n in range(1, 6)))
    assert host_resolvers((tmp_path / "none", stub, upstream)) == ("192.0.2.10", "192.0.2.20", "192.0.2.30")
    assert host_resolvers((stub,)) == ()


def test_forwarding_keeps_a_hosts_way_out(tmp_path: Path) -> None:
    for name, value in {
        "ipv4/ip_forward": "0",
        "ipv6/conf/all/forwarding": "0",
        "ipv6/conf/all/accept_ra": "1",
        "ipv6/conf/eth0/accept_ra": "1",
        "ipv6/conf/eth1/accept_ra": "0",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value)
    assert not forwarding(tmp_path)
    allow_forwarding(tmp_path)
    assert forwarding(tmp_path)
    read = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert read["ipv6/conf/all/forwarding"] == "1"
    assert read["ipv6/conf/eth0/accept_ra"] == "2"
    assert read["ipv6/conf/eth1/accept_ra"] == "0"
    assert read["ipv6/conf/all/accept_ra"] == "1"
