"""Clouds whose home was removed by hand are found, named and never taken for others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.daemon import cloud_file, strays
from roost.model import cloud as places
from roost.model.cloud import Cloud
from roost.model.errors import NotFound

Make = Callable[[], Cloud]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(places, "RUN", tmp_path / "run")
    home = tmp_path / "home"

    def make_cloud() -> Cloud:
        home.mkdir()
        cloud = cloud_file.new_cloud(home, cache=tmp_path / "cache", http_port=81, api_port=82, domain="x.test")
        cloud_file.save_cloud(cloud)
        cloud.run.mkdir(parents=True)
        strays.keep_identity(cloud)
        return cloud

    return make_cloud


def test_a_cloud_with_its_home_is_no_stray(make: Make) -> None:
    cloud = make()
    assert strays.find() == []
    (cloud.home / "cloud.json").write_text("{")
    assert strays.find() == [], "a damaged home is still a home"
    with pytest.raises(NotFound):
        strays.by_id(cloud.id)


def test_one_without_is_found_as_it_was(make: Make) -> None:
    cloud = make()
    shutil.rmtree(cloud.home)
    assert strays.find() == [cloud]
    assert strays.by_id(cloud.id) == cloud
    assert strays.of_home(cloud.home) == cloud
    (finding,) = strays.findings()
    assert cloud.id in finding.name
    assert f"--stray {cloud.id}" in finding.fix


def test_a_later_cloud_in_the_same_place_is_another(make: Make) -> None:
    old = make()
    shutil.rmtree(old.home)
    new = make()
    assert strays.find() == [old]
    assert strays.has_home(new)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"id": "../../etc", "home": "/", "cache": "/"}', "\x00"])
def test_what_is_no_identity_is_passed_over(make: Make, content: str) -> None:
    cloud = make()
    shutil.rmtree(cloud.home)
    (cloud.run / "cloud.json").write_text(content)
    assert strays.find() == []


def test_the_copy_is_the_identity(make: Make) -> None:
    cloud = make()
    data = json.loads((cloud.run / "cloud.json").read_text())
    assert cloud_file.from_json(data, cloud.home, cloud.cache) == cloud
