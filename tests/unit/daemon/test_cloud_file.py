from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.daemon import cloud_file
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, InsufficientCapacity, NotFound

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0000640A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def make(home: Path, cache: Path) -> Cloud:
    home.mkdir(exist_ok=True)
    cloud = cloud_file.new_cloud(home, cache=cache, http_port=8080, api_port=4280, domain="localhost")
    cloud_file.save_cloud(cloud)
    return cloud


def test_routes_are_read_and_default_routes_left_out() -> None:
    assert list(cloud_file.parse_routes(ROUTES)) == [IPv4Network("192.0.2.0/24"), IPv4Network("10.100.0.0/16")]


@given(st.text("0123456789abcdef", min_size=8, max_size=8), st.sets(st.integers(0, 255), max_size=255))
def test_the_chosen_network_is_free(cloud_id: str, used: set[int]) -> None:
    taken = [IPv4Network(f"10.{second}.0.0/16") for second in used]
    chosen = cloud_file.choose_network(cloud_id, taken)
    assert chosen.prefixlen == 16
    assert chosen.subnet_of(IPv4Network("10.0.0.0/8"))
    assert chosen not in taken


def test_a_wide_route_is_avoided_and_a_full_host_is_said() -> None:
    assert cloud_file.choose_network("00640000", [IPv4Network("10.0.0.0/9")]).network_address.packed[1] >= 128
    with pytest.raises(InsufficientCapacity):
        cloud_file.choose_network("00640000", [IPv4Network("10.0.0.0/8")])


def test_what_was_created_is_loaded(tmp_path: Path) -> None:
    cloud = make(tmp_path / "home", tmp_path / "cache")
    assert cloud_file.load_cloud(tmp_path / "home", cache=tmp_path / "cache") == cloud
    assert len(cloud.id) == 8


def test_clouds_of_one_host_differ(tmp_path: Path) -> None:
    clouds = [make(tmp_path / str(number), tmp_path / "cache") for number in range(20)]
    assert len({cloud.ipv4_network for cloud in clouds}) == 20
    assert len({cloud.id for cloud in clouds}) == 20


def test_a_home_that_was_removed_by_hand_frees_its_network(tmp_path: Path) -> None:
    cloud = make(tmp_path / "home", tmp_path / "cache")
    (tmp_path / "home" / "cloud.json").unlink()
    make(tmp_path / "other", tmp_path / "cache")
    assert not (tmp_path / "cache" / "clouds" / cloud.id).exists()


def test_a_directory_with_other_things_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Conflict, match=r"thesis\.tex"):
        make(tmp_path, tmp_path / "cache")
    assert not (tmp_path / "cloud.json").exists()


def test_settings_may_be_there_before_the_cloud(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text("")
    make(home, tmp_path / "cache")


def test_no_cloud_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no cloud"):
        cloud_file.load_cloud(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"id": "../../etc"}', '{"id": "abcdef01", "http_port": "x"}', '{"id": "ABCDEF01"}', "\0"],
)
def test_a_damaged_file_is_said_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "cloud.json").write_text(content)
    with pytest.raises(BadInput, match="damaged"):
        cloud_file.load_cloud(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "a..b", "-a", "a b", "a/b", "a\n", "x" * 64, "a:80", "ü.example"])
def test_a_bad_domain_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        cloud_file.check_domain(name)


@pytest.mark.parametrize(("name", "domain"), [("localhost", "localhost"), ("Apps.Example.ORG.", "apps.example.org")])
def test_a_good_domain_is_spelled_one_way(name: str, domain: str) -> None:
    assert cloud_file.check_domain(name) == domain
