"""Keeps roostd running where there is no systemd: `python -m roost.daemon.supervise --home DIR`.

State: its pid file and `supervisor.json` below the run directory. Invariant: one supervisor per cloud (a lock that
dies with its holder); that at most one roostd runs is roostd's own doing (`sole`). Started while a roostd runs whose
supervisor was killed, it adopts that roostd; one that is only just beginning makes its own child end, and then it
adopts. One that stands still is killed and started again. For a roostd that can't start, there is a stand-in that
starts the edge without it. SIGTERM and SIGINT end roostd first, then the supervisor; a killed supervisor leaves
roostd running, and `roost up` starts another one.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from roost.daemon import edge_stand_in, logs, pid_file, processes, pulse
from roost.daemon.cloud_file import load_cloud
from roost.daemon.settings import child_environment, read_settings
from roost.edge.written import write
from roost.host.process import Child, spawn
from roost.model.cloud import Cloud
from roost.model.errors import RoostError

STOP_TIMEOUT = 30.0  # what roostd has to end its work in
STEADY_AFTER = 5.0  # a roostd that lived this long had started well: it is started again at once
_LOOK = 1.0  # seconds between two looks at how roostd is


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before the next start after `failures` short lives in a row.

    The first is quick, since apps that sleep can't wake meanwhile; the back-off ends at 5 s.
    """
    return float(min(0.1 * 2 ** min(failures, 10), 5.0))


class Supervisor:
    """One supervisor's run. `stop` may be called from a signal handler."""

    def __init__(self, cloud: Cloud, argv: list[str], environment: dict[str, str]) -> None:
        self._cloud = cloud
        self._argv = argv
        self._environment = environment
        self._stopping = False
        self._starts = 0
        self._last_exit: int | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def stop(self) -> None:
        """Ask the run to end."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def run(self) -> None:
        """Keep roostd running until `stop`, then end it."""
        failures = 0
        while not self._stopping:
            began = time.monotonic()
            pid, child = self._start_or_adopt()
            self._watch(pid)
            if self._stopping:
                self._end(child)
                break
            self._last_exit = child.wait(5.0) if child is not None else None
            failures = 0 if time.monotonic() - began > STEADY_AFTER else failures + 1
            self._record()
            self._say(f"roostd ended ({self._last_exit}); starting it again in {restart_delay(failures):g} s")
            self._sleep(restart_delay(failures))

    def _start_or_adopt(self) -> tuple[int, Child | None]:
        running = pid_file.read(processes.roostd_pid_file(self._cloud))
        if running is not None:
            self._say(f"adopting roostd, pid {running}")
            return running, None
        self._starts += 1
        self._record()
        with contextlib.suppress(RoostError, OSError):
            edge_stand_in.ensure(self._cloud, patience=edge_stand_in.PATIENCE)
        child = spawn(self._argv, log=processes.roostd_log(self._cloud), env=self._environment)
        return child.pid, child

    def _watch(self, pid: int) -> None:
        """Return when roostd has ended or a stop was asked for."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        seen, due = pulse.Pulse(pulse.pulse_file(self._cloud), pid), 0.0
        try:
            while not self._stopping and not pid_file.wait_for_end(pidfd, _LOOK, self._wake_read):
                self._judge(pidfd, seen.verdict(time.monotonic()))
                if time.monotonic() > due:
                    due = time.monotonic() + logs.PERIOD
                    with contextlib.suppress(OSError):
                        logs.bound(processes.roostd_log(self._cloud))
        finally:
            os.close(pidfd)

    def _judge(self, pidfd: int, verdict: str) -> None:
        """Have a roostd that was stopped go on, and one that stands still end."""
        number = {"stopped": signal.SIGCONT, "still": signal.SIGKILL}.get(verdict)
        if number is None:
            return
        self._say(
            "roostd was stopped, and is told to go on"
            if verdict == "stopped"
            else f"roostd stood still for {pulse.PATIENCE:g} s and is killed"
        )
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)

    def _end(self, child: Child | None) -> None:
        """End the child, which may not have written its pid file yet, and whichever roostd has."""
        if child is not None:
            pid_file.end_process(child.pid, timeout=STOP_TIMEOUT)
            child.wait(5.0)
        pid_file.end(processes.roostd_pid_file(self._cloud), timeout=STOP_TIMEOUT)

    def _sleep(self, seconds: float) -> None:
        """Sleep, or return early when a stop is asked for."""
        pid_file.wait_for_end(self._wake_read, seconds)

    def _record(self) -> None:
        told = json.dumps({"starts": self._starts, "last_exit": self._last_exit})
        with contextlib.suppress(OSError):  # a full disk is no reason to leave roostd alone
            write(processes.supervisor_state_file(self._cloud), told)

    @staticmethod
    def _say(text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk is no reason to leave roostd alone
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} supervisor: {text}", flush=True)


def roostd_argv(home: Path) -> list[str]:
    """Return how roostd is started."""
    return [sys.executable, "-m", "roost.daemon.roostd", "--home", str(home)]


def main() -> int:
    """Run the supervisor of one cloud in the foreground."""
    parser = argparse.ArgumentParser(prog="roost-supervisor")
    parser.add_argument("--home", type=Path, required=True)
    settings = read_settings(parser.parse_args().home)
    cloud = load_cloud(settings.home, cache=settings.cache)
    lock = os.open(cloud.run / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another supervisor runs for this cloud", flush=True)
        return 0
    supervisor = Supervisor(cloud, roostd_argv(settings.home), child_environment(settings))

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        supervisor.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pid_file.write(processes.supervisor_pid_file(cloud), os.getpid())
    supervisor.run()
    processes.supervisor_pid_file(cloud).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
