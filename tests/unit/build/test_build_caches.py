from __future__ import annotations

import os

from roost.build.build_caches import BuildCaches


def test_caches_stay_between_builds_and_are_apart_by_app_and_path(tmp_path):
    caches = BuildCaches(tmp_path / "c")
    with caches.in_use("a"):
        (caches.path("a", "/x") / "f").write_text("1")
    assert (caches.path("a", "/x") / "f").exists()
    assert len({caches.path("a", "/x"), caches.path("a", "/y"), caches.path("b", "/x")}) == 3


def test_a_cache_beyond_the_limit_goes_after_the_build_and_not_while_another_uses_it(tmp_path):
    caches = BuildCaches(tmp_path / "c", limit=10)
    with caches.in_use("a"):
        with caches.in_use("a"):
            (caches.path("a", "/x") / "f").write_bytes(bytes(11))
        assert (tmp_path / "c/a").exists()
    assert not (tmp_path / "c/a").exists()


def test_caches_of_apps_that_no_longer_build_go(tmp_path):
    caches = BuildCaches(tmp_path / "c")
    caches.path("old", "/x")
    os.utime(tmp_path / "c/old", (1, 1))
    with caches.in_use("new"):
        caches.path("new", "/x")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["new"]


def test_the_caches_of_an_app_that_is_gone_are_not_a_later_apps(tmp_path):
    caches = BuildCaches(tmp_path / "c")
    (caches.path("shop", "/x") / "poison").touch()
    caches.forget("shop")
    caches.forget("shop")
    assert list(caches.path("shop", "/x").iterdir()) == []
