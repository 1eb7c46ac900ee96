"""The console's local side on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import queue
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from roost.cli import terminal
from roost.sdk.errors import Unreachable


class Echo:
    """A remote that answers each key in upper case; `q` ends it with code 7, `!` breaks the connection."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.sizes: list[tuple[int, int]] = []
        self._typed: queue.Queue[bytes] = queue.Queue()

    def write(self, data: bytes) -> None:
        self._typed.put(data)

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def __iter__(self) -> Iterator[bytes]:
        yield b"ready"
        while True:
            data = self._typed.get(timeout=20)
            if b"q" in data:
                self.exit_code = 7
                return
            if b"!" in data:
                raise Unreachable("the console's connection broke")
            yield data.upper()


def read_until(descriptor: int, wanted: bytes) -> bytes:
    data, deadline = b"", time.monotonic() + 10
    while wanted not in data:
        left = deadline - time.monotonic()
        assert left > 0 and select.select([descriptor], [], [], left)[0], data
        data += os.read(descriptor, 1024)
    return data


@pytest.fixture
def terminal_pair() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def drive(master: int, keys: list[tuple[bytes, bytes]], act: object = None) -> threading.Thread:
    """Type keys from another thread, each once what is expected before it was seen."""

    def work() -> None:
        for expected, typed in keys:
            read_until(master, expected)
            if callable(act):
                act()
            os.write(master, typed)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_raw_while_attached_and_as_before_afterwards(terminal_pair: tuple[int, int]) -> None:
    master, slave = terminal_pair
    before = termios.tcgetattr(slave)
    seen: list[bool] = []
    remote = Echo()
    keys = [(b"ready", b"a\x03"), (b"A\x03", b"q")]
    thread = drive(master, keys, lambda: seen.append(bool(termios.tcgetattr(slave)[3] & termios.ICANON)))
    assert terminal.attach(remote, stdin=slave, stdout=slave) == 7
    thread.join(10)
    assert seen == [False, False]
    assert termios.tcgetattr(slave) == before


def test_a_broken_connection_restores_the_terminal_too(terminal_pair: tuple[int, int]) -> None:
    master, slave = terminal_pair
    before = termios.tcgetattr(slave)
    thread = drive(master, [(b"ready", b"!")])
    with pytest.raises(Unreachable):
        terminal.attach(Echo(), stdin=slave, stdout=slave)
    thread.join(10)
    assert termios.tcgetattr(slave) == before


def test_resizes_reach_the_other_side(terminal_pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = terminal_pair
    remote = Echo()
    monkeypatch.setattr(terminal, "window_size", lambda: (40, 120))

    def resize() -> None:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.kill(os.getpid(), signal.SIGWINCH)
        deadline = time.monotonic() + 10
        while not remote.sizes and time.monotonic() < deadline:
            time.sleep(0.01)

    handler = signal.getsignal(signal.SIGWINCH)
    thread = drive(master, [(b"ready", b"q")], resize)
    assert terminal.attach(remote, stdin=slave, stdout=slave) == 7
    thread.join(10)
    assert remote.sizes == [(40, 120)]
    assert signal.getsignal(signal.SIGWINCH) == handler


def test_sigterm_ends_it_and_restores_the_terminal(terminal_pair: tuple[int, int]) -> None:
    master, slave = terminal_pair
    before = termios.tcgetattr(slave)
    remote = Echo()
    thread = drive(master, [(b"ready", b"x")], lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert terminal.attach(remote, stdin=slave, stdout=slave) == 129
    assert termios.tcgetattr(slave) == before
    thread.join(10)
    remote.write(b"q")  # as its caller closes it
    for receiver in (other for other in threading.enumerate() if other.name == "console"):
        receiver.join(10)
        assert not receiver.is_alive()


def test_input_from_a_pipe_ends_with_end_of_file() -> None:
    reading, writing = os.pipe()
    sink_read, sink = os.pipe()
    os.write(writing, b"abq")
    os.close(writing)
    try:
        assert terminal.attach(Echo(), stdin=reading, stdout=sink) == 7
        assert os.read(sink_read, 100) == b"ready"
    finally:
        for descriptor in (reading, sink, sink_read):
            os.close(descriptor)


def test_a_terminal_that_does_not_know_its_size_is_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))  # a serial line
    assert terminal.window_size() == (24, 80)
