"""How Envoy is started so that it can do little."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from tests.ports import free_port

from roost.edge.bootstrap import VARIABLES
from roost.edge.confinement import USER, confined, open_files, reachable
from roost.edge.process import check_port
from roost.model.errors import Conflict


def test_a_private_directory_is_not_reachable(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    file = closed / "file"
    file.write_text("")
    file.chmod(0o644)
    assert not reachable(file)
    assert not reachable(tmp_path / "missing")
    assert reachable(Path("/bin/sh"))
    assert reachable(Path("/"))


def test_the_command_stays_itself(tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "true")
    assert confined(command, reads=(tmp_path / "missing",))[-3:] == command
    assert not any("reuid" in word for word in confined(command, reads=(tmp_path / "missing",)))
    if os.geteuid() == 0:
        assert f"--reuid={USER}" in confined(command, reads=(Path("/bin/sh"),))


def test_variables_reach_the_command_and_are_heeded() -> None:
    """glibc heeds no tunables of a program that got rights by being started."""
    asks = ("/bin/sh", "-c", "echo $GLIBC_TUNABLES; od -An -td8 -w16 /proc/self/auxv")
    for file_bytes in (0, 1 << 20):
        argv = confined(asks, reads=(Path("/bin/sh"),), file_bytes=file_bytes, variables=VARIABLES)
        told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
        assert told[0] == "glibc.pthread.rseq=0"
        assert dict(line.split() for line in told[1:])["23"] == "0"  # AT_SECURE


def test_a_program_need_not_make_room_for_more_files_later() -> None:
    argv = confined(("/bin/cat", "/proc/self/status"), reads=(Path("/bin/cat"),))
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10)
    size = next(line for line in told.stdout.splitlines() if line.startswith("FDSize:"))
    assert int(size.split()[1]) >= open_files()
    assert told.stderr == ""


def test_a_port_in_use_is_told_and_a_free_one_is_not() -> None:
    port = free_port()
    with socket.create_server(("0.0.0.0", port)):
        with pytest.raises(Conflict) as error:
            check_port(port)
        assert str(port) in error.value.message and "--http-port" in error.value.hint
    check_port(port)
