"""Commands and consoles in a running machine."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.e2e.host.conftest import Site

from roost.host.contract import Console, MachineSpec
from roost.model.errors import BadInput, TimedOut


@pytest.fixture(scope="module")
def machine(site: Site) -> Iterator[MachineSpec]:
    spec = site.spec("sleep", "1000", env={"SECRET": "sesame"})
    site.host.start(spec)
    try:
        yield spec
    finally:
        site.host.destroy(spec.id)


def read_until(console: Console, text: bytes, seconds: float = 10.0) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while text not in seen:
        ready, _, _ = select.select([console.fileno()], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {text!r} in {seen!r}"
        seen += os.read(console.fileno(), 4096)
    return seen


def test_output_code_input_and_environment(site: Site, machine: MachineSpec):
    done = site.host.execute(
        machine.id, ("sh", "-c", "cat; echo $SECRET $MORE; echo oops >&2; exit 5"), stdin=b"in\n", env={"MORE": "more"}
    )
    assert (done.exit_code, done.exit_signal, done.stdout, done.stderr) == (5, 0, b"in\nsesame more\n", b"oops\n")


def test_signal_is_told(site: Site, machine: MachineSpec):
    assert site.host.execute(machine.id, ("sh", "-c", "kill -9 $$")).exit_signal == 9


def test_as_another_user(site: Site, machine: MachineSpec):
    assert site.host.execute(machine.id, ("id", "-u"), user="www-data").stdout == b"33\n"
    with pytest.raises(BadInput):
        site.host.execute(machine.id, ("id",), user="no-such-user")


def test_unknown_command(site: Site, machine: MachineSpec):
    with pytest.raises(BadInput):
        site.host.execute(machine.id, ("no-such-command",))


def test_output_is_cut(site: Site, machine: MachineSpec):
    done = site.host.execute(machine.id, ("head", "-c", "3000000", "/dev/zero"))
    assert len(done.stdout) == 1 << 20 and done.exit_code == 0


def test_deadline_kills_the_command_and_its_children(site: Site, machine: MachineSpec):
    began = time.monotonic()
    with pytest.raises(TimedOut):
        site.host.execute(machine.id, ("sh", "-c", "sleep 77 & setsid sleep 77 & sleep 77; true"), timeout=0.7)
    assert time.monotonic() - began < 6
    count = "grep -l -z '^77' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"
    deadline = time.monotonic() + 5
    while site.host.execute(machine.id, ("sh", "-c", count)).stdout.strip() != b"0":
        assert time.monotonic() < deadline, "a command outlived its deadline"


def test_a_stopped_first_process_does_not_hang_a_command_beyond_its_deadline(site: Site):
    spec = site.spec("sleep", "1000")
    site.host.start(spec)
    try:
        site.host.signal(spec.id, "SIGSTOP")
        began = time.monotonic()
        assert site.host.execute(spec.id, ("echo", "alive"), timeout=5).stdout == b"alive\n"
        assert time.monotonic() - began < 5
    finally:
        site.host.destroy(spec.id)


def test_nothing_of_a_command_stays(site: Site, machine: MachineSpec):
    site.host.execute(machine.id, ("true",))
    names = [path.name for path in (site.cloud.run / "m" / machine.id).iterdir()]
    assert not [name for name in names if name.startswith(("x", "c")) and name != "conmon.pid"]


def test_ctrl_c_on_a_console_ends_the_command_and_not_the_shell(site: Site, machine: MachineSpec):
    console = site.host.console(machine.id, ("bash", "--norc"), rows=24, columns=80)
    # Not `sh`: dash drops a signal that comes while it starts a program (onsig returns at once while a vfork is under
    # way, and its child, not yet executed, drops it the same way). On a bare terminal, without a machine, one Ctrl-C of
    # four right after its `echo` is lost so; with bash none is.
    os.write(console.fileno(), b"bash --norc -c 'echo be\"\"gun; sleep 30; true'\n")
    read_until(console, b"begun")  # it is in the foreground now
    os.write(console.fileno(), b"\x03")
    seen = read_until(console, b"# ")  # what is typed before the prompt is back, the shell may throw away
    assert b"^C" in seen
    os.write(console.fileno(), b"exit 9\n")
    began = time.monotonic()
    while select.select([console.fileno()], [], [], 10)[0]:
        try:
            if not os.read(console.fileno(), 4096):
                break
        except OSError:
            break
    assert console.close() == 9
    assert time.monotonic() - began < 10


def test_console_has_a_terminal_of_the_right_size_and_returns_the_code(site: Site, machine: MachineSpec):
    console = site.host.console(machine.id, ("bash", "--norc"), rows=33, columns=101)
    os.write(console.fileno(), b"stty size; tty\n")
    seen = read_until(console, b"/dev/pts/")
    assert b"33 101" in seen
    console.resize(40, 120)
    os.write(console.fileno(), b"stty size\n")
    read_until(console, b"40 120")
    os.write(console.fileno(), b"exit 6\n")
    with pytest.raises(OSError):
        while True:
            os.read(console.fileno(), 4096)
    assert console.close() == 6
    assert console.close() == 6


@contextlib.contextmanager
def busy_processors() -> Iterator[None]:
    """Two programs for each processor, which never rest."""
    with contextlib.ExitStack() as stack:
        for _ in range(2 * len(os.sched_getaffinity(0))):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        yield


def test_the_first_thing_a_command_sees_is_its_terminals_size_also_on_busy_processors(site: Site, machine: MachineSpec):
    def size() -> bytes:
        console = site.host.console(machine.id, ("stty", "size"), rows=33, columns=101)
        try:
            return read_until(console, b"\n").strip()
        finally:
            console.close()

    with busy_processors():
        assert [size() for _ in range(60)] == [b"33 101"] * 60


def test_closing_a_console_ends_its_process(site: Site, machine: MachineSpec):
    console = site.host.console(machine.id, ("bash", "-c", "trap '' HUP; echo ready; sleep 88"), rows=24, columns=80)
    read_until(console, b"ready")
    began = time.monotonic()
    assert console.close() != 0
    assert time.monotonic() - began < 5
    count = "grep -l -z '^88' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"
    assert site.host.execute(machine.id, ("sh", "-c", count)).stdout.strip() == b"0"


def test_console_of_an_unknown_command(site: Site, machine: MachineSpec):
    with pytest.raises(BadInput):
        site.host.console(machine.id, ("no-such-command",), rows=24, columns=80)
