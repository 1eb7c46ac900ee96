"""Running programs: the only module that imports `subprocess`.

It owns no state. Invariants: every run has a deadline; a program is an argument list, never a shell
line; a child inherits no file descriptor but the ones named; nothing that was fed to a child
(input, environment, arguments) appears in an error, since it may hold secrets. A run that reaches its
deadline, or is interrupted by an exception, kills the child's whole session. A kill of `roostd` leaves
a running child to finish by itself; a spawned one is meant to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from roost.model.errors import FREE_SPACE, HostFailure, InsufficientCapacity, TimedOut

_CHUNK = 65536
_PIPE_CAPACITY = 1 << 20  # the most an unprivileged program may set (pipe(7))
_SHOWN = 800  # bytes of a failed program's stderr that go into the error


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended. A negative `returncode` is the number of the signal that ended it."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Child:
    """A program that outlives roostd. Dropping this object neither ends nor waits for it."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def poll(self) -> int | None:
        """Return its exit code (negative: the signal's number), or None while it runs. Reaps it."""
        return self._popen.poll()

    def wait(self, timeout: float) -> int:
        """Wait `timeout` seconds for its end and return its exit code; raises TimedOut."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"process {self.pid} still runs after {timeout:g} s") from None

    def signal(self, number: int) -> None:
        """Send a signal to it; does nothing once it has ended."""
        self._popen.send_signal(number)


class Holder:
    """A program that reads from a pipe held by roostd alone, and so ends when roostd does."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def write(self, data: bytes) -> None:
        """Write a few bytes to its input; raises HostFailure when it has ended."""
        assert self._popen.stdin is not None
        try:
            os.write(self._popen.stdin.fileno(), data)
        except BrokenPipeError:
            raise HostFailure(f"process {self.pid} has ended") from None

    def read_line(self, timeout: float) -> bytes:
        """Return the next line of its output, or what there is when it ends; raises TimedOut."""
        assert self._popen.stdout is not None
        fd, line = self._popen.stdout.fileno(), b""
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimedOut(f"process {self.pid} said nothing within {timeout:g} s")
                data = os.read(fd, _CHUNK)
                if not data:
                    break
                line += data
        return line

    def close(self) -> None:
        """End it; closing it twice is no error."""
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5.0)


def hold(argv: Sequence[str]) -> Holder:
    """Start a program whose input and output are pipes and that is to end with roostd."""
    return Holder(_popen(argv, None, None, (), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL))


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a program that outlives roostd: own session, output appended to `log`, no inherited descriptors.

    It runs in `cwd`, by default `/`: a directory of whoever started roostd would be held in use, and a program
    without rights may not be able to enter it. `env=None` inherits roostd's environment. Raises HostFailure when
    it can't be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return Child(
            _popen(argv, env, cwd, pass_fds, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        )


def run(
    argv: Sequence[str],
    *,
    input: bytes = b"",
    timeout: float,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    output_limit: int | None = None,
) -> Completed:
    """Run a program to its end and return what it wrote.

    Returns when the program itself has ended, also when a child it left behind still holds its output
    open. Output beyond `output_limit` bytes per stream is dropped. `env=None` inherits roostd's
    environment. Raises TimedOut after `timeout` seconds (its session is killed then), and HostFailure
    when it can't be executed or, with `check`, ends with anything but 0 (InsufficientCapacity if it says
    that there is no space left).
    """
    child = _popen(argv, env, cwd, pass_fds, stdin=subprocess.PIPE if input else subprocess.DEVNULL)
    try:
        stdout, stderr = _converse(child, input, time.monotonic() + timeout, output_limit)
    except BaseException as error:
        _kill_session(child)
        if isinstance(error, TimeoutError):
            raise TimedOut(f"`{_name(argv)}` did not end within {timeout:g} s", hint="try again") from None
        raise
    finally:
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    completed = Completed(child.wait(), stdout, stderr)
    if check and completed.returncode:
        if os.strerror(errno.ENOSPC).encode() in stderr:
            raise InsufficientCapacity(f"`{_name(argv)}` found no space left: {_last_words(stderr)}", hint=FREE_SPACE)
        raise HostFailure(f"`{_name(argv)}` {_ending(completed.returncode)}: {_last_words(stderr)}")
    return completed


def _popen(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    pass_fds: Sequence[int],
    *,
    stdin: int,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HostFailure(
            f"can't run `{_name(argv)}`: {error.strerror}", hint="`roost doctor` lists what is missing"
        ) from None
    except OSError as error:
        raise HostFailure(f"can't run `{_name(argv)}`: {error.strerror}") from None


def _converse(child: subprocess.Popen[bytes], input: bytes, deadline: float, limit: int | None) -> tuple[bytes, bytes]:
    """Feed and read the child until it ends; raises TimeoutError at the deadline."""
    assert child.stdout is not None and child.stderr is not None
    collected = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    pending = memoryview(input)
    pidfd = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            for fd in collected:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            if child.stdin is not None:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE)
            ended = False
            while not ended:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fd == pidfd:
                        ended = True
                    elif key.fd in collected:
                        if not _read(key.fd, collected[key.fd], limit):
                            selector.unregister(key.fd)
                    else:
                        pending = _feed(key.fd, pending)
                        if not pending and child.stdin is not None:
                            selector.unregister(child.stdin)
                            child.stdin.close()
        for fd, buffer in collected.items():  # what it wrote just before its end: at most a pipe's capacity
            for _ in range(_PIPE_CAPACITY // _CHUNK + 1):
                if _read(fd, buffer, limit) != 2:
                    break
    finally:
        os.close(pidfd)
    first, second = collected.values()
    return bytes(first), bytes(second)


def _read(fd: int, buffer: bytearray, limit: int | None) -> int:
    """Read once; 0: end of the stream, 1: nothing there now, 2: something was read."""
    try:
        data = os.read(fd, _CHUNK)
    except BlockingIOError:
        return 1
    room = len(data) if limit is None else max(0, limit - len(buffer))
    buffer += data[:room]
    return 2 if data else 0


def _feed(fd: int, pending: memoryview) -> memoryview:
    """Write once and return what is left; a reader that went away takes nothing more."""
    try:
        return pending[os.write(fd, pending[:_CHUNK]) :]
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return pending[:0]


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # a process in the kernel's hands may take its time
        child.wait(5.0)


def _name(argv: Sequence[str]) -> str:
    """Name a program in an error: arguments may be long or private, so the verb is all that shows."""
    words = [Path(argv[0]).name]
    words += [word for word in argv[1:2] if word.isascii() and word.replace("-", "").isalnum() and len(word) < 24]
    return " ".join(words)


def _ending(returncode: int) -> str:
    return f"was ended by signal {-returncode}" if returncode < 0 else f"failed with code {returncode}"


def _last_words(stderr: bytes) -> str:
    return stderr[-_SHOWN:].decode(errors="replace").strip() or "it said nothing"
