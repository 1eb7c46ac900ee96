"""Private addresses of apps: what they are, and the rules that let one network reach them and no other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from roost.control.ip_assignments import ports_of
from roost.host import network_flycast, nftables
from roost.host.contract import PrivateAddress
from roost.model.cloud import Cloud
from roost.plan.addresses import flycast_ipv4, flycast_ipv6, slot_of

CLOUD = Cloud("12345678", Path("/x"), 80, 81, "localhost", IPv4Network("10.7.0.0/16"))
SHOP = PrivateAddress("personal", "10.7.236.97", "fdaa:1234:5678:1::1", (80, 8080))


def test_addresses_follow_from_the_number_and_are_no_machines() -> None:
    found = {flycast_ipv4(CLOUD, number) for number in range(1, 4000)}
    assert None not in found
    assert len(found) == 3999
    assert flycast_ipv4(CLOUD, 100_000) is None
    assert flycast_ipv4(CLOUD, 0) is None
    for number in (1, 3999, 2**31):
        assert flycast_ipv6(CLOUD, number) in CLOUD.ipv6_network
        assert slot_of(CLOUD, str(flycast_ipv6(CLOUD, number))) == 0
        assert number > 4000 or slot_of(CLOUD, str(flycast_ipv4(CLOUD, number))) == 0


def test_the_rules_name_network_address_and_port() -> None:
    edge = (IPv4Address("10.7.0.4"), IPv6Address("fdaa:1234:5678::4"), 10_080)
    rules = nftables.Rules(
        "t", "r1", IPv4Network("10.7.0.0/16"), IPv6Network("fdaa::/48"), private=((3, SHOP),), edge=edge
    )
    text = nftables.render(rules)
    assert "elements = { 3 . 10.7.236.97 . 80, 3 . 10.7.236.97 . 8080 }" in text
    assert "3 . fdaa:1234:5678:1::1 . 80" in text
    assert "meta iifgroup . ip daddr . tcp dport @flycast4 dnat ip to 10.7.0.4:10080" in text
    assert "ip6 daddr fdaa:1234:5678::4 tcp dport 10080 ct status dnat accept" in text
    without = nftables.render(nftables.Rules("t", "r1", IPv4Network("10.7.0.0/16"), IPv6Network("fdaa::/48")))
    assert "dnat" not in without


def test_what_is_served_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert network_flycast.read(tmp_path) == []
    network_flycast.write(tmp_path, [SHOP])
    assert network_flycast.read(tmp_path) == [SHOP]
    (tmp_path / network_flycast.FILE).write_text("{")
    assert network_flycast.read(tmp_path) == []
    network_flycast.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_port_80_is_always_served() -> None:
    assert ports_of([]) == (80,)
