"""One more process in a running machine: a command to its end, or one with a terminal.

State: for the time of the run, a few files below the machine's run directory (the environment is secret).
Invariant: a command that reaches its deadline, or whose console is closed, is killed with its
descendants; the deadline is kept from outside, since a machine can stop its own processes. A kill of
roostd leaves a command to finish, and closes a console's terminal, which hangs its process up.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from roost.host.contract import ExecResult
from roost.host.process import Child, run, spawn
from roost.host.runtime import RUNTIME_ENVIRONMENT, Runtime, refusal
from roost.host.users import read_user
from roost.model.errors import BadInput, TimedOut

OUTPUT_LIMIT = 1 << 20
_CONSOLE_TIMEOUT = 10.0
_HANG_UP_TIME = 1.0

# crun gives a terminal its size after the child that becomes the command has gone on: on busy processors one command
# in ten had looked by then, and its terminal was 0 by 0. A real-time process (not its children: -R) runs first. A host
# that grants it no such priority starts the command all the same.
_AHEAD_OF_ITS_CHILDREN = 'chrt -R -f -p 1 $$ 2>/dev/null; exec "$@"'


class Execution:
    """Runs commands in one running machine, whose root is at `root`. `processes` returns the pids in its cgroup."""

    def __init__(
        self, machine_id: str, runtime: Runtime, directory: Path, root: Path, processes: Callable[[], list[int]]
    ) -> None:
        self._machine_id = machine_id
        self._runtime = runtime
        self._directory = directory
        self._root = root
        self._processes = processes

    def run(self, process: dict[str, Any], *, stdin: bytes, timeout: float) -> ExecResult:
        """Run a process to its end; raises TimedOut, or BadInput when there is no such command."""
        with self._files(process) as (process_file, pid_file):
            argv = self._runtime.exec_command(self._machine_id, process_file, pid_file)
            try:
                done = run(
                    argv, input=stdin, timeout=timeout, check=False, env=RUNTIME_ENVIRONMENT, output_limit=OUTPUT_LIMIT
                )
            except TimedOut:
                self._kill(pid_file)
                raise TimedOut(
                    f"the command in machine {self._machine_id} did not end within {timeout:g} s and was killed",
                    hint="give it more time, or run it as a machine of its own",
                ) from None
            except BaseException:
                self._kill(pid_file)
                raise
            if done.returncode and not pid_file.exists():
                raise refusal(done.stderr.decode(errors="replace"), self._machine_id)
        return ExecResult(*split_code(done.returncode), done.stdout, done.stderr)

    def console(self, process: dict[str, Any], rows: int, columns: int) -> TerminalProcess:
        """Run a process with a terminal; raises BadInput when there is no such command."""
        process = process | {"terminal": True, "consoleSize": {"height": rows, "width": columns}}
        with self._files(process) as (process_file, pid_file):
            log = process_file.with_suffix(".log")
            begin = self._begin_with_ours if self._runtime.takes_terminal else self._begin_with_theirs
            try:
                child, master, slave = begin(process_file, pid_file, log)
                try:
                    pid = _wait_for_pid(pid_file, child)
                    if pid == 0:
                        said = log.read_text(errors="replace") or _last_screen(master)
                        raise refusal(said, self._machine_id)
                except BaseException:
                    self._kill(pid_file)
                    child.signal(signal.SIGKILL)
                    raise
                finally:
                    if slave is not None:
                        os.close(slave)
            finally:
                log.unlink(missing_ok=True)
        terminal = TerminalProcess(master, child, lambda: self._end(pid))
        terminal.resize(rows, columns)
        return terminal

    def _begin_with_theirs(self, process_file: Path, pid_file: Path, log: Path) -> tuple[Child, int, int | None]:
        """Start the command; the runtime makes the terminal, and passes its master side."""
        with _listener(self._directory) as (listener, path):
            argv = self._runtime.exec_command(
                self._machine_id, process_file, pid_file, "--tty", "--console-socket", str(path)
            )
            child = spawn(["sh", "-c", _AHEAD_OF_ITS_CHILDREN, "sh", *argv], log=log, env=RUNTIME_ENVIRONMENT)
            try:
                master = _receive_terminal(listener, child, time.monotonic() + _CONSOLE_TIMEOUT)
                if master is None:
                    raise refusal(log.read_text(errors="replace"), self._machine_id)
            except BaseException:
                self._kill(pid_file)
                child.signal(signal.SIGKILL)
                raise
        return child, master, None

    def _begin_with_ours(self, process_file: Path, pid_file: Path, log: Path) -> tuple[Child, int, int | None]:
        """Start the command on a terminal made here; the slave side is kept open until the command holds it."""
        master, slave = os.openpty()
        try:
            _resize(master, **json.loads(process_file.read_text())["consoleSize"])
            argv = self._runtime.exec_command(self._machine_id, process_file, pid_file)
            # Who leads a session and opens a terminal is controlled by it: its Ctrl-C reaches the runtime, which passes
            # it on once it has begun to look for signals, and must not die of one before.
            script = 'trap "" INT QUIT TSTP; exec "$@" <>"$0" >&0 2>&0'
            child = spawn(["sh", "-c", script, os.ttyname(slave), *argv], log=log, env=RUNTIME_ENVIRONMENT)
        except BaseException:
            os.close(master)
            os.close(slave)
            raise
        return child, master, slave

    def process_of(self, main: dict[str, Any], argv: tuple[str, ...], env: dict[str, str], user: str) -> dict[str, Any]:
        """Return the description of a process like the machine's main one, with another command."""
        if not argv or any("\0" in word for word in argv):
            raise BadInput("there is no command to run")
        process = main | {"args": list(argv), "terminal": False}
        values = dict(entry.split("=", 1) for entry in main["env"]) | env
        if user:
            who = read_user(self._root, user)
            process["user"] = {"uid": who.uid, "gid": who.gid, "additionalGids": list(who.groups)}
            held = main["capabilities"]["bounding"] if who.uid == 0 else []
            process["capabilities"] = main["capabilities"] | {"effective": held, "permitted": held}
            values |= {"HOME": who.home} if "HOME" not in env else {}
        return process | {"env": [f"{name}={value}" for name, value in values.items()]}

    @contextlib.contextmanager
    def _files(self, process: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
        stem = self._directory / f"x{os.urandom(4).hex()}"
        process_file, pid_file = stem.with_suffix(".json"), stem.with_suffix(".pid")
        try:
            fd = os.open(process_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                json.dump(process, file)
            yield process_file, pid_file
        finally:
            process_file.unlink(missing_ok=True)
            pid_file.unlink(missing_ok=True)

    def _kill(self, pid_file: Path) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._end(int(pid_file.read_text()))

    def _end(self, pid: int) -> None:
        self._runtime.end_command(self._machine_id, pid, self._processes)


class TerminalProcess:
    """A process with a terminal, as the contract's Console."""

    def __init__(self, master: int, child: Child, kill: Callable[[], None]) -> None:
        self._master = master
        self._child = child
        self._kill = kill
        self._closed = False

    def fileno(self) -> int:
        """Return the master side of the terminal. Reading it fails with EIO once the process has ended."""
        return self._master

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process the terminal's size in characters."""
        _resize(self._master, height=rows, width=columns)

    def close(self) -> int:
        """Hang up, end the process if it still runs, and return its exit code. Twice is once."""
        if not self._closed:
            self._closed = True
            os.close(self._master)
        try:
            return self._child.wait(_HANG_UP_TIME)
        except TimedOut:
            self._kill()
        try:
            return self._child.wait(_HANG_UP_TIME)
        except TimedOut:
            self._child.signal(signal.SIGKILL)
            return self._child.wait(_HANG_UP_TIME)


def _resize(terminal: int, height: int, width: int) -> None:
    size = struct.pack("HHHH", max(1, min(height, 10_000)), max(1, min(width, 10_000)), 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


def split_code(code: int) -> tuple[int, int]:
    """Return (exit code, signal) of a process that a runtime ran: 128 + N stands for signal N (pure)."""
    if code < 0:
        return 128 - code, -code
    return (code, code - 128) if 128 < code <= 128 + 64 else (code, 0)


@contextlib.contextmanager
def _listener(directory: Path) -> Iterator[tuple[socket.socket, Path]]:
    path = directory / f"c{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        try:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(1)
            yield listener, path
        finally:
            path.unlink(missing_ok=True)


def _receive_terminal(listener: socket.socket, child: Child, deadline: float) -> int | None:
    """Return the terminal's master side as the runtime passes it; None when the runtime gave up."""
    watched = os.pidfd_open(child.pid)
    try:
        ready, _, _ = select.select([listener.fileno(), watched], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimedOut("the runtime opened no terminal in time", hint="try again")
        if listener.fileno() not in ready:
            return None
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                return array.array("i", data[:4])[0]
        return None
    finally:
        os.close(watched)


def _last_screen(master: int) -> str:
    """Return what was written to a terminal whose process has ended, and close it."""
    os.set_blocking(master, False)
    try:
        return os.read(master, 4096).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(master)


def _wait_for_pid(pid_file: Path, child: Child) -> int:
    """Return the pid the runtime writes; 0 when it ended without, since there is no such command."""
    deadline = time.monotonic() + _CONSOLE_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(pid_file.read_text())
        if child.poll() is not None:
            return 0
        time.sleep(0.001)
    raise TimedOut("the runtime did not start the command in time", hint="try again")
