from __future__ import annotations

import fcntl
import os

import pytest

from roost.build.layers import LayerShelf
from roost.model.errors import BadInput


@pytest.fixture
def shelf(tmp_path):
    shelf = LayerShelf(tmp_path / "layers")
    shelf.open()
    return shelf


def test_a_layer_is_there_when_it_is_whole(shelf):
    with shelf.making("a", owner="x") as tree:
        (tree / "f").write_bytes(b"12345")
        os.link(tree / "f", tree / "g")
        assert shelf.get("a") is None
    record = shelf.get("a")
    assert (record.id, record.bytes, record.owner) == ("a", 5, "x")
    assert (shelf.path("a") / "f").read_bytes() == b"12345"
    assert shelf.directory.stat().st_mode & 0o777 == 0o700


def test_a_failure_leaves_nothing(shelf):
    with pytest.raises(RuntimeError), shelf.making("a"):
        raise RuntimeError
    assert list(shelf.directory.iterdir()) == []


def test_the_first_of_two_makers_wins(shelf):
    with shelf.making("a") as first, shelf.making("a") as second:
        (first / "f").write_text("first")
        (second / "f").write_text("second")
    assert (shelf.path("a") / "f").read_text() == "second"  # the inner block ended first
    assert len(shelf.list()) == 1
    assert not list(shelf.directory.glob(".*"))


def test_leftovers_of_dead_makers_are_swept_and_living_ones_kept(shelf):
    dead, alive = shelf.directory / ".making-dead-1", shelf.directory / ".making-alive-1"
    for path in (dead, alive):
        (path / "sub").mkdir(parents=True)
    fd = os.open(alive, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        LayerShelf(shelf.directory).open()
        assert (dead.exists(), alive.exists()) == (False, True)
    finally:
        os.close(fd)


def test_a_tree_without_a_record_is_no_layer_and_is_made_again(shelf):
    shelf.path("a").mkdir()
    (shelf.path("a") / "half").touch()
    assert shelf.get("a") is None
    with shelf.making("a") as tree:
        (tree / "whole").touch()
    assert [p.name for p in shelf.path("a").iterdir()] == ["whole"]


def test_removing_frees_its_bytes_and_may_be_repeated(shelf):
    with shelf.making("a") as tree:
        (tree / "f").write_bytes(bytes(100))
    assert shelf.remove("a") == 100
    assert shelf.remove("a") == 0
    assert list(shelf.directory.iterdir()) == []


def test_the_newest_of_a_key(shelf):
    for name in ("deps-1", "deps-1-b", "deps-10"):
        with shelf.making(name):
            pass
    assert shelf.newest("deps-1") == "deps-1-b"
    assert shelf.newest("deps-2") == ""


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".making-x", "a" * 81, "-a"])
def test_names_that_could_leave_the_shelf_are_refused(shelf, name):
    with pytest.raises(BadInput):
        shelf.path(name)
