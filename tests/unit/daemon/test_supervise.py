"""The supervisor on real processes that stand for roostd: they write its pid file and wait."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from roost.daemon import logs, pid_file, processes, pulse
from roost.daemon import supervise as supervisor
from roost.daemon.supervise import Supervisor, restart_delay
from roost.host.process import spawn
from roost.model.cloud import Cloud

STAND_IN = """
import os, sys, time
from pathlib import Path
from roost.daemon import pid_file

time.sleep(float(sys.argv[2]))
if pid_file.read(Path(sys.argv[1])) is None:
    pid_file.write(Path(sys.argv[1]), os.getpid())
    time.sleep(60)
"""


class HereCloud(Cloud):
    """A cloud whose run directory is the test's own."""

    @property
    def run(self) -> Path:
        return self.home / "run"


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    cloud = HereCloud("abcdef01", tmp_path, 8080, 4280, "localhost", IPv4Network("10.99.0.0/16"))
    cloud.run.mkdir()
    cloud.logs.mkdir()
    return cloud


def until(look: Callable[[], int | None], *, but: int | None = None) -> int:
    """Wait for a value that is neither None nor `but`."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        value = look()
        if value is not None and value != but:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def steady(cloud: Cloud, *, after: float = 0.0) -> list[str]:
    """Return the command of a roostd that is the only one `after` so many seconds."""
    return [sys.executable, "-c", STAND_IN, str(processes.roostd_pid_file(cloud)), str(after)]


class Running:
    def __init__(self, cloud: Cloud, argv: list[str]) -> None:
        self.supervisor = Supervisor(cloud, argv, dict(os.environ))
        self.thread = threading.Thread(target=self.supervisor.run)
        self.thread.start()

    def stop(self) -> None:
        self.supervisor.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def supervise(cloud: Cloud) -> Iterator[Callable[[list[str]], Running]]:
    running: list[Running] = []

    def begin(argv: list[str]) -> Running:
        running.append(Running(cloud, argv))
        return running[-1]

    yield begin
    for one in running:
        one.stop()
    pid_file.end(processes.roostd_pid_file(cloud), timeout=5)


def test_a_killed_roostd_is_started_again(cloud: Cloud, supervise: Callable[[list[str]], Running]) -> None:
    supervise(steady(cloud))
    first = until(lambda: pid_file.read(processes.roostd_pid_file(cloud)))
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_file.read(processes.roostd_pid_file(cloud)), but=first)
    state = json.loads(processes.supervisor_state_file(cloud).read_text())
    assert state == {"starts": 2, "last_exit": -signal.SIGKILL}


def test_stop_ends_roostd(cloud: Cloud, supervise: Callable[[list[str]], Running]) -> None:
    running = supervise(steady(cloud))
    pid = until(lambda: pid_file.read(processes.roostd_pid_file(cloud)))
    running.stop()
    assert pid_file.start_time(pid) is None
    assert not processes.roostd_pid_file(cloud).exists()


def test_a_roostd_whose_supervisor_was_killed_is_adopted(
    cloud: Cloud, supervise: Callable[[list[str]], Running], capfd: pytest.CaptureFixture[str]
) -> None:
    orphan = spawn(steady(cloud), log=cloud.logs / "roostd.log")
    until(lambda: pid_file.read(processes.roostd_pid_file(cloud)))
    supervise(steady(cloud))
    until(lambda: 1 if "adopting" in capfd.readouterr().out else None)
    orphan.signal(signal.SIGKILL)
    orphan.wait(5)
    until(lambda: pid_file.read(processes.roostd_pid_file(cloud)), but=orphan.pid)
    assert _starts(cloud) == 1, "a second roostd was started beside the adopted one"


def test_one_that_was_only_beginning_when_its_supervisor_was_killed_is_adopted(
    cloud: Cloud, supervise: Callable[[list[str]], Running]
) -> None:
    orphan = spawn(steady(cloud, after=0.5), log=cloud.logs / "roostd.log")
    supervise(steady(cloud, after=1.0))  # no file names the orphan yet, so this one is started, and finds it later
    pid = until(lambda: pid_file.read(processes.roostd_pid_file(cloud)))
    assert pid == orphan.pid
    until(lambda: 0 if _last_exit(cloud) == 0 else None)
    assert pid_file.read(processes.roostd_pid_file(cloud)) == orphan.pid
    orphan.signal(signal.SIGKILL)
    orphan.wait(5)
    until(lambda: pid_file.read(processes.roostd_pid_file(cloud)), but=orphan.pid)


def test_stop_ends_a_roostd_that_no_file_names_yet(cloud: Cloud, supervise: Callable[[list[str]], Running]) -> None:
    running = supervise(["sleep", "60"])
    until(lambda: 1 if _starts(cloud) else None)
    running.stop()


def test_one_that_always_ends_is_tried_again_ever_more_slowly(
    cloud: Cloud, supervise: Callable[[list[str]], Running]
) -> None:
    supervise(["false"])
    until(lambda: 1 if _starts(cloud) >= 3 else None)
    assert _starts(cloud) < 10


def _starts(cloud: Cloud) -> int:
    try:
        return int(json.loads(processes.supervisor_state_file(cloud).read_text())["starts"])
    except FileNotFoundError:
        return 0


def _last_exit(cloud: Cloud) -> int | None:
    state: dict[str, int | None] = json.loads(processes.supervisor_state_file(cloud).read_text())
    return state["last_exit"]


def test_delays_grow_from_a_blink_to_seconds() -> None:
    delays = [restart_delay(failures) for failures in range(1, 100)]
    assert delays == sorted(delays)
    assert delays[0] <= 0.2
    assert delays[-1] == 5.0


def test_the_log_is_bounded_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "roostd.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        logs.bound(log, limit=100)
        assert log.stat().st_size == 100
        writer.write(b"b")
        logs.bound(log, limit=100)
        assert log.stat().st_size == 0
        writer.write(b"c")
    assert log.read_bytes() == b"c"
    assert (tmp_path / "roostd.log.1").read_bytes() == b"a" * 100 + b"b"


PULSED = """
import os, sys, time
from pathlib import Path
from roost.daemon import pid_file

pid_file.write(Path(sys.argv[1]), os.getpid())
pulse = Path(sys.argv[2])
pulse.touch()
while not pulse.with_suffix(".hang").exists():
    os.utime(pulse)
    time.sleep(0.02)
time.sleep(60)
"""


def test_a_roostd_that_stands_still_is_started_again_and_one_that_was_stopped_goes_on(
    cloud: Cloud, supervise: Callable[[list[str]], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PATIENCE", 0.5)
    monkeypatch.setattr(supervisor, "_LOOK", 0.05)
    beat, hang = pulse.pulse_file(cloud), pulse.pulse_file(cloud).with_suffix(".hang")
    supervise([sys.executable, "-c", PULSED, str(processes.roostd_pid_file(cloud)), str(beat)])
    first = until(lambda: pid_file.read(processes.roostd_pid_file(cloud)))
    until(lambda: beat.stat().st_mtime_ns if beat.exists() else None)
    os.kill(first, signal.SIGSTOP)
    at = beat.stat().st_mtime_ns
    until(lambda: beat.stat().st_mtime_ns, but=at)
    assert pid_file.read(processes.roostd_pid_file(cloud)) == first
    hang.touch()
    until(lambda: pid_file.read(processes.roostd_pid_file(cloud)), but=first)
    hang.unlink()
    assert _last_exit(cloud) == -signal.SIGKILL
