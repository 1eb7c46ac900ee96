from __future__ import annotations

from pathlib import Path

import pytest

from roost.daemon import cloud_file
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, NotFound


def make(home: Path, cache: Path) -> Cloud:
    home.mkdir(exist_ok=True)
    cloud = cloud_file.new_cloud(home, cache=cache, http_port=8080, api_port=4280, domain="localhost")
    cloud_file.save_cloud(cloud)
    return cloud


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
