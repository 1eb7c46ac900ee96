"""One roostd per cloud, with processes that stand for roostd and do what it does first."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from roost.daemon import pid_file, processes, sole
from roost.model.cloud import Cloud
from roost.model.errors import Conflict

STAND_IN = """
import sys, time
from ipaddress import IPv4Network
from pathlib import Path
from roost.daemon import sole
from roost.model.cloud import Cloud
from roost.model.errors import Conflict

class HereCloud(Cloud):
    run = property(lambda self: self.home / "run")

time.sleep(float(sys.argv[2]))
try:
    sole.become_the_roostd(HereCloud("abcdef01", Path(sys.argv[1]), 1, 2, "localhost", IPv4Network("10.9.0.0/16")))
except Conflict as error:
    sys.exit(error.message)
print("sole", flush=True)
time.sleep(60)
"""


class HereCloud(Cloud):
    """A cloud whose run directory is the test's own."""

    @property
    def run(self) -> Path:
        return self.home / "run"


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    cloud = HereCloud("abcdef01", tmp_path, 1, 2, "localhost", IPv4Network("10.9.0.0/16"))
    cloud.run.mkdir()
    sole.allow_roostd(cloud)
    return cloud


Begin = Callable[[float], "subprocess.Popen[str]"]


@pytest.fixture
def begin(cloud: Cloud) -> Iterator[Begin]:
    begun: list[subprocess.Popen[str]] = []

    def start(after: float = 0.0) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", STAND_IN, str(cloud.home), str(after)]
        begun.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_first_holds_the_cloud_and_the_second_ends(cloud: Cloud, begin: Begin) -> None:
    first = begin(0)
    assert said(first) == "sole"
    assert pid_file.read(processes.roostd_pid_file(cloud)) == first.pid
    second = begin(0)
    _, error = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"pid {first.pid}" in error
    assert pid_file.read(processes.roostd_pid_file(cloud)) == first.pid


def test_a_killed_one_leaves_the_place_to_the_next(cloud: Cloud, begin: Begin) -> None:
    first = begin(0)
    assert said(first) == "sole"
    first.kill()
    first.wait()
    assert said(begin(0)) == "sole"


def test_forbidding_ends_the_one_that_runs(cloud: Cloud, begin: Begin) -> None:
    running = begin(0)
    assert said(running) == "sole"
    assert sole.forbid_roostd(cloud, timeout=10)
    assert running.wait(5) != 0
    assert not sole.forbid_roostd(cloud, timeout=10), "a second time nothing ran"
    late = begin(0)
    assert "is down" in late.communicate(timeout=20)[1]


def test_one_that_began_before_is_found_though_no_file_names_it_yet(cloud: Cloud, begin: Begin) -> None:
    held = sole._take(cloud)  # a roostd between taking the lock and writing its pid file
    assert held is not None
    done = threading.Event()

    def forbid() -> None:
        sole.forbid_roostd(cloud, timeout=10)
        done.set()

    thread = threading.Thread(target=forbid)
    thread.start()
    assert not done.wait(0.2), "forbidding ended while a roostd held the lock"
    os.close(held)
    assert done.wait(10)
    thread.join()
    assert not sole.lock_file(cloud).exists()


def test_a_lock_on_a_file_that_went_away_meanwhile_is_none(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = sole.fcntl.flock  # type: ignore[attr-defined]

    def flock_after_down(fd: int, how: int) -> None:
        sole.lock_file(cloud).unlink()  # `down` was quicker
        flock(fd, how)

    monkeypatch.setattr(sole.fcntl, "flock", flock_after_down)  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="is down"):
        sole.become_the_roostd(cloud)
    assert not processes.roostd_pid_file(cloud).exists()


def test_allowing_again_takes_nothing_from_the_holder(cloud: Cloud) -> None:
    held = sole.become_the_roostd(cloud)
    with contextlib.closing(os.fdopen(held)):
        sole.allow_roostd(cloud)
        with pytest.raises(Conflict):
            sole.become_the_roostd(cloud)
