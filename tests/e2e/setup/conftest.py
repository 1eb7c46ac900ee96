"""Clouds of their own for tests of the set-up, removed whatever happens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.setup.own_cloud import OwnCloud, free_port


@pytest.fixture
def new_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], OwnCloud]]:
    made: list[OwnCloud] = []

    def make() -> OwnCloud:
        cloud = OwnCloud(tmp_path_factory.mktemp("home"), free_port(), free_port())
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        if (cloud.home / "cloud.json").exists():
            done = cloud.roost("destroy-cloud", "--yes")
            assert done.code == 0, done.err
        shutil.rmtree(cloud.home, ignore_errors=True)
