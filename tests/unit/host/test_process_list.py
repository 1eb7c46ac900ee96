from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from roost.host.process_list import list_processes, parse_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0100007F:1F90", "127.0.0.1:8080"),
        ("00000000:0016", "0.0.0.0:22"),
        ("00000000000000000000000000000000:1F90", "[::]:8080"),
        ("00000000000000000000000001000000:0050", "[::1]:80"),
    ],
)
def test_addresses_as_the_kernel_prints_them(text: str, shown: str) -> None:
    assert parse_address(text) == shown


def test_a_process_with_what_it_listens_on() -> None:
    code = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/usr"
    ) as child:
        assert child.stdout and child.stdin
        port = int(child.stdout.readline())
        (found,) = list_processes([child.pid, 2**22 + 1])
        child.stdin.close()
    assert found.pid == child.pid
    assert (found.directory, found.command.split()[1]) == ("/usr", "-c")
    assert [(s.protocol, s.address) for s in found.listening] == [("tcp", f"127.0.0.1:{port}")]
    assert found.rss_bytes > 1 << 20
    assert 0 <= found.system_seconds <= found.cpu_seconds < 10
    assert 0 <= found.running_seconds < 60


def test_sockets_that_only_talk_are_not_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as other:
        shown = [s.address for s in list_processes([os.getpid()])[0].listening]
        assert f"127.0.0.1:{server.getsockname()[1]}" in shown
        assert f"127.0.0.1:{other.getsockname()[1]}" not in shown
