"""Programs are run with a deadline, bounded output and no inherited descriptors."""

import os
import time
from pathlib import Path

import pytest

from roost.host.process import run, spawn
from roost.model.errors import HostFailure, InsufficientCapacity, TimedOut


def test_output_and_code_come_back():
    done = run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"hello", timeout=5, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello", b"err\n")


def test_a_full_disk_is_told_from_other_failures():
    with pytest.raises(InsufficientCapacity, match="found no space left"):
        run(["dd", "if=/dev/zero", "of=/dev/full", "bs=1", "count=1"], timeout=5)
    with pytest.raises(HostFailure, match="code 1"):
        run(["false"], timeout=5)


def test_large_input_and_output_do_not_deadlock():
    data = os.urandom(3_000_000)
    assert run(["cat"], input=data, timeout=20).stdout == data


def test_output_is_cut_at_the_limit():
    done = run(["head", "-c", "500000", "/dev/zero"], timeout=5, output_limit=1000)
    assert len(done.stdout) == 1000


def test_deadline_kills_the_whole_session(tmp_path: Path):
    marker = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(TimedOut):
        run(["sh", "-c", f"sleep 60 & echo $! > {marker}; wait"], timeout=0.5)
    assert time.monotonic() - began < 5
    grandchild = int(marker.read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{grandchild}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{grandchild}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "Z":
            break
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{grandchild}").exists()


def test_a_child_left_behind_does_not_hold_the_run_up():
    began = time.monotonic()
    done = run(["sh", "-c", "sleep 3 & echo out"], timeout=10)
    assert done.stdout == b"out\n"
    assert time.monotonic() - began < 2


def test_failure_tells_the_last_words_and_no_argument():
    with pytest.raises(HostFailure) as caught:
        run(["sh", "-c", "echo went wrong >&2; exit 4", "sesame"], timeout=5)
    assert "went wrong" in caught.value.message
    assert "sesame" not in caught.value.message


def test_missing_program():
    with pytest.raises(HostFailure) as caught:
        run(["/nonexistent/program"], timeout=5)
    assert "program" in caught.value.message


def test_no_descriptor_is_inherited_but_the_named():
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        listed = run(["ls", "/proc/self/fd"], timeout=5).stdout.split()
        assert str(writer).encode() not in listed
        listed = run(["ls", "/proc/self/fd"], timeout=5, pass_fds=(writer,)).stdout.split()
        assert str(writer).encode() in listed
    finally:
        os.close(reader)
        os.close(writer)


def test_spawned_child_logs_and_has_its_own_session(tmp_path: Path):
    log = tmp_path / "log" / "child"
    child = spawn(["sh", "-c", "echo started; exec sleep 30"], log=log)
    try:
        deadline = time.monotonic() + 5
        while log.read_text() != "started\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log.read_text() == "started\n"
        assert os.getsid(child.pid) == child.pid
        assert child.poll() is None
    finally:
        child.signal(15)
    assert child.wait(5) == -15
