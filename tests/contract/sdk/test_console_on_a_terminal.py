"""`roost ssh console` and the progress display as a user sees them: on a pseudo-terminal, in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.sdk import Client


class Session:
    """A program on a terminal of its own; it may be typed to and waited for."""

    def __init__(self, words: list[str], rows: int, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (rows, columns))
        self.before = termios.tcgetattr(self.slave)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "roost.cli", *words],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def expect(self, wanted: bytes) -> None:
        deadline = time.monotonic() + 20
        while wanted not in self.said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], self.said
            self.said += os.read(self.master, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    found: list[Session] = []
    yield found
    for session in found:
        session.close()


def test_console(environment: None, client: Client, sessions: list[Session]) -> None:
    client.apps.create("shop")
    client.machines.create("shop", {"image": "roost/base:bookworm"})
    session = Session(["ssh", "console", "-a", "shop", "-C", "sh -i"], 31, 91)
    sessions.append(session)
    session.expect(b"# ")
    assert not termios.tcgetattr(session.slave)[3] & termios.ECHO
    session.type(b"stty size\r")
    session.expect(b"31 91")
    session.resize(32, 92)
    session.type(b"sleep 0.3; stty size\r")
    session.expect(b"32 92")
    # Without the trap dash may lose an interrupt that comes just as it starts `sleep`.
    session.type(b'sh -c \'trap "exit 0" INT; echo be""gun; while :; do sleep 0.1; done\'\r')
    session.expect(b"begun")  # by now it is in the foreground; a Ctrl-C before that reaches nobody
    session.type(b"\x03")  # interrupts the command over there, not the console
    session.type(b"exit 7\r")
    assert session.process.wait(15) == 7
    assert termios.tcgetattr(session.slave) == session.before


def test_the_terminal_is_restored_when_the_console_is_told_to_end(
    environment: None, client: Client, sessions: list[Session]
) -> None:
    client.apps.create("shop")
    client.machines.create("shop", {"image": "roost/base:bookworm"})
    session = Session(["ssh", "console", "-a", "shop", "-C", "sh -i"], 24, 80)
    sessions.append(session)
    session.expect(b"# ")
    session.process.send_signal(signal.SIGTERM)
    assert session.process.wait(15) == 129
    assert termios.tcgetattr(session.slave) == session.before


def test_launch_on_a_terminal_asks_and_shows_the_steps(
    environment: None, control: Any, tmp_path: Path, sessions: list[Session]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text("x")
    refused = Session(["launch", "shop"], 30, 100)
    sessions.append(refused)
    refused.expect(b"Go on? [Y/n]")
    refused.type(b"n\r")
    assert refused.process.wait(15) == 1
    assert control.world.apps == {}
    session = Session(["launch", "shop"], 30, 100)
    sessions.append(session)
    session.expect(b"Go on? [Y/n]")
    session.type(b"\r")
    session.expect(b"==> build")
    session.expect(b"    two")
    session.expect(b"    lines")
    session.expect(b"http://shop.roost.test:8080\r\n")
    assert session.process.wait(15) == 0
