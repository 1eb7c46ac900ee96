"""The network of a new cloud: none in which the host reaches anything."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.daemon import private_network
from roost.host.sockets import peers
from roost.model.errors import BadInput, Conflict, InsufficientCapacity

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100140A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0000640A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes_are_read_and_of_default_routes_the_gateway() -> None:
    assert list(private_network.parse_routes(ROUTES)) == [
        IPv4Network("10.20.0.1"), IPv4Network("192.0.2.0/24"), IPv4Network("10.100.0.0/16"),
    ]  # fmt: skip


@given(st.text("0123456789abcdef", min_size=8, max_size=8), st.sets(st.integers(0, 255), max_size=255))
def test_the_chosen_network_is_free(cloud_id: str, used: set[int]) -> None:
    taken = [IPv4Network(f"10.{second}.0.0/16") for second in used]
    chosen = private_network.choose_network(cloud_id, taken)
    assert chosen.prefixlen == 16
    assert chosen.subnet_of(IPv4Network("10.0.0.0/8"))
    assert chosen not in taken


def test_a_wide_route_is_avoided_and_a_full_host_is_said() -> None:
    assert private_network.choose_network("00640000", [IPv4Network("10.0.0.0/9")]).network_address.packed[1] >= 128
    with pytest.raises(InsufficientCapacity):
        private_network.choose_network("00640000", [IPv4Network("10.0.0.0/8")])


@pytest.mark.parametrize(
    "text", ["10.60.0.0/8", "10.60.0.0/24", "10.60.1.0/16", "10.60.0.0", "172.16.0.0/16", "fd00::/16", ""]
)
def test_what_can_be_no_clouds_network_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--network") as refused:
        private_network.check_network(text, [])
    assert "10.60.0.0/16" in refused.value.hint


def test_a_network_that_is_asked_for_takes_nothings_place() -> None:
    used = [IPv4Network("10.0.0.0/12"), IPv4Network("10.77.0.53")]
    assert private_network.check_network("10.60.0.0/16", used) == IPv4Network("10.60.0.0/16")
    with pytest.raises(Conflict, match=r"10\.0\.0\.0/12"):
        private_network.check_network("10.3.0.0/16", used)
    with pytest.raises(Conflict, match=r"place of 10\.77\.0\.53,"):
        private_network.check_network("10.77.0.0/16", used)


def test_what_the_default_route_leads_to_is_not_cut_off(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTES)
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    (tmp_path / "tcp").write_text(
        head
        + "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n"
        + "   1: 020200C0:0016 0203050A:D431 01 00000000:00000000 00:00000000 00000000     0        0 2\n"
    )
    (tmp_path / "tcp6").write_text(
        head
        + "   0: 0000000000000000FFFF0000020200C0:0016 0000000000000000FFFF00000203060A:D431 01 00000000:00000000\n"
        + "   1: 000080FE000000000000000001000000:0016 000080FE000000000000000002000000:D431 01 00000000:00000000\n"
    )
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver fe80::1\nnameserver 10.255.255.53\n")
    used = private_network.networks_in_use(tmp_path, (tmp_path / "resolv.conf", tmp_path / "none"))
    for network, wanted in ((255, "10.255.255.53"), (5, "10.5.3.2"), (6, "10.6.3.2"), (20, "10.20.0.1")):
        assert IPv4Network(wanted) in used
        chosen = private_network.choose_network(f"{network:04x}0000", used)
        assert IPv4Address(wanted) not in chosen
    (tmp_path / "tcp6").unlink()  # a host without IPv6
    assert IPv4Network("10.5.3.2") in private_network.networks_in_use(tmp_path, ())


@pytest.mark.parametrize(("family", "table"), [(socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")])
def test_the_other_end_of_a_connection_of_this_host_is_found(family: int, table: str) -> None:
    with (
        socket.create_server(("", 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server,
        socket.create_connection(("127.0.0.9", server.getsockname()[1]), source_address=("127.0.0.7", 0)),
        server.accept()[0],
    ):
        assert IPv4Address("127.0.0.7") in peers(Path("/proc/net", table))
