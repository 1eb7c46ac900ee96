"""The pool: full, damaged half-way, mounted twice; and disks on it."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from roost.host import loop, mounts
from roost.host.disks import Disks
from roost.host.spare_disks import SpareDisks
from roost.model.cloud import Cloud
from roost.model.errors import InsufficientCapacity

GB = 1 << 30


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[Disks, Cloud]]:
    cloud = Cloud(secrets.token_hex(4), tmp_path / "home", 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    made = Disks(cloud, pool_bytes=GB // 2)
    try:
        made.ensure_pool()
        yield made, cloud
    finally:
        made.remove_pool()
        assert mounts.mounts_below(cloud.home) == []
        assert not [image for image in loop.attached() if cloud.home in image.parents]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    try:
        yield path
    finally:
        mounts.unmount(path)


def test_ensure_twice_is_once(disks: tuple[Disks, Cloud]):
    made, cloud = disks
    made.ensure_pool()
    assert len([point for point in mounts.mounts_below(cloud.pool) if point == cloud.pool]) == 1
    used, total = made.usage()
    assert 0 < used < total <= GB // 2


def test_a_remounted_pool_holds_what_it_held(disks: tuple[Disks, Cloud]):
    made, cloud = disks
    (cloud.pool / "kept").write_text("x")
    mounts.unmount(cloud.pool)
    assert not cloud.pool.is_mount()
    made.ensure_pool()
    assert (cloud.pool / "kept").read_text() == "x"


def test_a_disk_is_its_size_and_sparse(disks: tuple[Disks, Cloud], place: Path):
    made, _ = disks
    image = made.create("m", 4)
    assert image.stat().st_size == 4 * GB
    assert made.used("m") < 16 << 20
    made.mount("m", place)
    assert os.statvfs(place).f_bavail * 4096 > 3.8 * GB


def test_what_is_deleted_goes_back_to_the_pool(disks: tuple[Disks, Cloud], place: Path):
    made, _ = disks
    made.create("m", 1)
    made.mount("m", place)
    (place / "big").write_bytes(os.urandom(64 << 20))
    os.sync()
    full = made.used("m")
    (place / "big").unlink()
    fd = os.open(place, os.O_RDONLY)
    os.sync()
    os.close(fd)
    assert full > 64 << 20
    assert made.used("m") < full - (48 << 20)


def test_a_full_pool_is_told_with_a_next_step(disks: tuple[Disks, Cloud]):
    made, cloud = disks
    made.prepare_template(1)
    with (cloud.pool / "ballast").open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            os.close(os.dup(file.fileno()))
    raised = None
    for number in range(2000):
        try:
            made.create(f"m{number}", 1)
        except InsufficientCapacity as error:
            raised = error
            assert not made.image(f"m{number}").exists()
            break
    assert raised is not None and raised.hint and "full" in raised.message


def test_a_new_disk_replaces_the_old(disks: tuple[Disks, Cloud], place: Path):
    made, _ = disks
    made.create("m", 1)
    made.mount("m", place)
    (place / "old").touch()
    made.abandon(place)
    made.create("m", 1)
    made.mount("m", place)
    assert not (place / "old").exists()


def test_a_template_cut_short_is_not_used(disks: tuple[Disks, Cloud]):
    made, cloud = disks
    (cloud.pool / "templates" / ".ext4-2.dead").write_bytes(b"half")
    assert made.create("m", 2).stat().st_size == 2 * GB


def test_more_than_there_is_is_refused(tmp_path: Path):
    cloud = Cloud(secrets.token_hex(4), tmp_path / "home", 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    with pytest.raises(InsufficientCapacity):
        Disks(cloud, pool_bytes=1 << 60).ensure_pool()
    assert not list((tmp_path / "home").iterdir())


def test_a_spare_disk_is_given_once_and_then_made_again(disks: tuple[Disks, Cloud], place: Path):
    made, cloud = disks
    spares = SpareDisks(made, cloud.pool / "spares", size_gb=1, number=1)
    (cloud.pool / "spares" / "00000000").mkdir(parents=True)
    (cloud.pool / "spares" / "left.img").write_text("by a roostd that was killed")
    spares.clear()
    try:
        spares.refill()
        wait_for(lambda: list((cloud.pool / "spares").glob("*.img")) and spares.ready == 1)
        (image,) = (cloud.pool / "spares").glob("*.img")
        assert image in loop.attached()
        assert [point for point in mounts.mounts_below(cloud.pool) if point != cloud.pool] == []
        inode = image.stat().st_ino
        spares.provide("m", 1, place)
        assert made.image("m").stat().st_ino == inode
        assert made.image("m") in loop.attached()
        (place / "file").write_text("x")
        assert spares.ready == 0
        other = place.parent / "other"
        other.mkdir()
        try:
            spares.provide("n", 1, other)  # none is ready: made now
            assert other.is_mount()
            assert made.image("n").stat().st_ino != inode
        finally:
            mounts.unmount(other)
        spares.refill()
        wait_for(lambda: spares.ready == 1)
    finally:
        spares.close()
    wait_for(lambda: not [path for path in loop.attached() if path.is_relative_to(cloud.pool / "spares")])
    assert not list((cloud.pool / "spares").glob("*.img"))


def test_a_spare_whose_image_is_gone_is_not_given(disks: tuple[Disks, Cloud], place: Path):
    made, cloud = disks
    spares = SpareDisks(made, cloud.pool / "spares", size_gb=1, number=1)
    try:
        spares.refill()
        wait_for(lambda: spares.ready == 1)
        spares.clear()  # another agent of the cloud began
        spares.provide("m", 1, place)
        assert place.is_mount()
        assert made.image("m") in loop.attached()
    finally:
        spares.close()


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
