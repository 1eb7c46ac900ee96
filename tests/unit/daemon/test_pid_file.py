from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.daemon import pid_file


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_reads_what_was_written(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pid_file.write(tmp_path / "pid", sleeper.pid)
    assert pid_file.read(tmp_path / "pid") == sleeper.pid


def test_a_reused_pid_is_not_taken_for_the_old_process(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    started = pid_file.start_time(sleeper.pid)
    assert started is not None
    (tmp_path / "pid").write_text(json.dumps({"pid": sleeper.pid, "start": started - 1}))
    assert pid_file.read(tmp_path / "pid") is None
    assert not pid_file.end(tmp_path / "pid", timeout=1)
    assert sleeper.poll() is None


@pytest.mark.parametrize(
    "content",
    ["", "12", "[1, 2]", "{}", '{"pid": 1, "start": 1}', '{"pid": -1, "start": 0}', '{"pid": 99999999, "start": 5}'],
)
def test_a_torn_or_stale_file_names_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert pid_file.read(tmp_path / "pid") is None
    assert not pid_file.end(tmp_path / "pid", timeout=1)
    assert not (tmp_path / "pid").exists()


def test_no_file_names_no_process(tmp_path: Path) -> None:
    assert pid_file.read(tmp_path / "none") is None


def test_a_zombie_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert pid_file.start_time(sleeper.pid) is None


def test_end_asks_first(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pid_file.write(tmp_path / "pid", sleeper.pid)
    assert pid_file.end(tmp_path / "pid", timeout=5)
    assert sleeper.wait(5) == -signal.SIGTERM
    assert not (tmp_path / "pid").exists()
    assert not pid_file.end(tmp_path / "pid", timeout=5)


def test_end_leaves_the_record_of_the_next_one(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """One that waited for the end of the other writes its own before that end is noticed."""
    record, following = tmp_path / "pid", tmp_path / "following"
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.rename(*sys.argv[1:]), os._exit(0)))\n"
        "print('x', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, following, record], stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            first.stdout.readline()
            pid_file.write(record, first.pid)
            pid_file.write(following, sleeper.pid)
            assert pid_file.end(record, timeout=20)
        finally:
            first.kill()
    assert pid_file.read(record) == sleeper.pid
    assert list(tmp_path.iterdir()) == [record]


def test_end_wakes_what_is_stopped(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pid_file.write(tmp_path / "pid", sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    began = time.monotonic()
    assert pid_file.end(tmp_path / "pid", timeout=20)
    assert time.monotonic() - began < 10
    assert sleeper.wait(5) == -signal.SIGTERM


def test_end_kills_what_does_not_listen(tmp_path: Path) -> None:
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        pid_file.write(tmp_path / "pid", child.pid)
        began = time.monotonic()
        assert pid_file.end(tmp_path / "pid", timeout=0.2)
        assert time.monotonic() - began < 5
        assert child.wait(5) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
