"""Exit codes as conmon and the runtime write them, and what a process hears."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from roost.host.cgroups import Cgroups
from roost.host.ending import how
from roost.host.execution import split_code
from roost.host.machine_files import MainProcess, RunFiles
from roost.host.main_process import end, exit_info, is_alive, is_deaf, kill, start_ticks


@pytest.mark.parametrize(
    ("code", "number", "oom"), [(0, 0, False), (3, 0, False), (137, 9, True), (143, 15, False), (255, 0, False)]
)
def test_exit_info(code: int, number: int, oom: bool):
    info = exit_info(code, oom_kills=1, requested=False, at=5.0)
    assert (info.exit_code, info.signal, info.oom_killed, info.at) == (code, number, oom, 5.0)
    assert not exit_info(code, oom_kills=0, requested=False, at=5.0).oom_killed


@pytest.mark.parametrize(("code", "pair"), [(0, (0, 0)), (7, (7, 0)), (130, (130, 2)), (-9, (137, 9)), (255, (255, 0))])
def test_split_code(code: int, pair: tuple[int, int]):
    assert split_code(code) == pair


def test_a_pid_counts_only_with_its_start_time():
    child = subprocess.Popen(["sleep", "60"])
    try:
        main = MainProcess(child.pid, start_ticks(child.pid), 0.0)
        assert is_alive(main)
        assert not is_alive(MainProcess(child.pid, main.ticks + 1, 0.0))
        assert end(MainProcess(child.pid, main.ticks + 1, 0.0), signal.SIGKILL, 1, list)
        assert child.poll() is None, "another process under the same pid is left alone"
        assert kill(main, 5)
        assert not is_alive(main)
    finally:
        child.kill()
        child.wait(5)


def test_deafness():
    child = subprocess.Popen(
        ["bash", "-c", "trap 'true' TERM; trap '' INT; echo; while :; do sleep 0.01; done"], stdout=-1
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert not is_deaf(child.pid, signal.SIGTERM)
        assert not is_deaf(child.pid, signal.SIGINT), "ignoring is a choice: it gets its time"
        assert is_deaf(child.pid, signal.SIGUSR2)
    finally:
        child.kill()
        child.wait(5)


def test_the_wait_ends_with_the_process():
    child = subprocess.Popen(["bash", "-c", "trap 'exit 0' TERM; echo; while :; do sleep 0.01; done"], stdout=-1)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        began = time.monotonic()
        assert end(MainProcess(child.pid, start_ticks(child.pid), 0.0), signal.SIGTERM, 10, list)
        assert time.monotonic() - began < 5
    finally:
        child.kill()
        child.wait(5)


def test_one_that_takes_its_signals_by_sigwait_is_not_deaf():
    program = "import signal; signal.pthread_sigmask(0, {15}); print(flush=True); signal.sigwait({15})"
    child = subprocess.Popen(["python3", "-c", program], stdout=-1)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert not is_deaf(child.pid, signal.SIGTERM)
    finally:
        child.kill()
        child.wait(5)


def test_a_handler_for_one_time_gets_its_time():
    program = "trap 'trap - TERM; sleep 0.4; exit 4' TERM; echo; while :; do sleep 0.01; done"
    child = subprocess.Popen(["bash", "-c", program], stdout=-1)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert end(MainProcess(child.pid, start_ticks(child.pid), 0.0), signal.SIGTERM, 10, list)
        assert child.wait(5) == 4
    finally:
        child.kill()
        child.wait(5)


def test_this_process_is_alive():
    assert start_ticks(os.getpid()) > 0
    assert start_ticks(0) == 0


def test_the_exit_code_of_a_slow_monitor_is_waited_for(tmp_path: Path):
    files = RunFiles(tmp_path, "monitored-machine", "group")
    files.exits.mkdir()
    files.write_main(MainProcess(1, 1, 0.0))
    program = 'echo; sleep 3; echo 5 > "$0"; sleep 60'
    monitor = subprocess.Popen(["sh", "-c", program, str(files.exit_code)], stdout=-1, start_new_session=True)
    try:
        assert monitor.stdout is not None
        monitor.stdout.readline()  # it runs, under its own command line
        files.monitor_pid.write_text(str(monitor.pid))
        ended = how(files, Cgroups("roost-test-ending"))
        assert ended is not None
        assert ended.exit_code == 5
    finally:
        os.killpg(monitor.pid, signal.SIGKILL)
        monitor.wait(5)
