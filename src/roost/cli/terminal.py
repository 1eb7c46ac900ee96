"""The local side of a console: raw mode, resizes, bytes both ways.

State: the terminal's settings, which are put back whatever happens (an error, Ctrl-C, SIGTERM, SIGHUP).
Only `kill -9` leaves the terminal raw; `stty sane` mends that.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

from roost.sdk.errors import Unreachable

_EOT = b"\x04"  # what Ctrl-D sends: the remote terminal turns it into end of file


class Remote(Protocol):
    """A terminal elsewhere, as `roost.sdk.console.Console`."""

    exit_code: int | None

    def write(self, data: bytes) -> None:
        """Send what was typed."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the window."""

    def __iter__(self) -> Iterator[bytes]: ...


def window_size() -> tuple[int, int]:
    """Return rows and columns of the terminal; 24 and 80 when there is none, or none that knows its size."""
    for descriptor in (0, 1, 2):
        with suppress(OSError):  # no terminal
            size = os.get_terminal_size(descriptor)
            if size.lines and size.columns:  # a serial line has 0 and 0
                return size.lines, size.columns
    return 24, 80


@contextmanager
def raw_mode(descriptor: int) -> Iterator[None]:
    """Make a terminal raw for a while; does nothing for what is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _signals(wake: int) -> Iterator[None]:
    """Write `r` to `wake` when the window changes, `q` when this process is asked to end, and the signal's number."""

    def handler(number: int, _: FrameType | None) -> None:
        with suppress(OSError):
            os.write(wake, b"r" if number == signal.SIGWINCH else b"q")

    numbers = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    # A signal that another thread gets does not end our wait, and the handler would run after it only: this does.
    woken_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, old in before.items():
            signal.signal(number, old)


def attach(remote: Remote, *, stdin: int | None = None, stdout: int | None = None) -> int:
    """Join this terminal with a remote one until its program ends; returns the exit code.

    Raises Unreachable when the connection breaks. The terminal is as before in any case.
    """
    source = sys.stdin.fileno() if stdin is None else stdin
    sink = sys.stdout.fileno() if stdout is None else stdout
    reading, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    failures: list[Unreachable] = []

    def receive() -> None:
        try:
            for chunk in remote:
                _write_all(sink, chunk)
        except Unreachable as error:
            failures.append(error)
        except OSError:
            pass  # nobody reads our output any more
        finally:
            with suppress(OSError):
                os.write(wake, b"x")

    receiver = threading.Thread(target=receive, name="console", daemon=True)
    try:
        with raw_mode(source), _signals(wake):
            receiver.start()
            _send(remote, source, reading)
    finally:
        # The receiver may still write to the pipe; it ends once the caller closes the console.
        if not receiver.is_alive():
            os.close(reading)
            os.close(wake)
    if failures:
        raise failures[0]
    return remote.exit_code if remote.exit_code is not None else 129


def _send(remote: Remote, source: int, reading: int) -> None:
    """Send what is typed until the receiver has ended (`x`) or we are asked to (`q`)."""
    watched = [source, reading]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if reading in ready:
            marks = os.read(reading, 1024)
            if b"x" in marks or b"q" in marks:
                return
            if b"r" in marks:
                remote.resize(*window_size())
        if source in ready:
            data = os.read(source, 65_536)
            with suppress(Unreachable):  # the receiver tells why
                remote.write(data or _EOT)
            if not data:
                watched = [reading]


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
