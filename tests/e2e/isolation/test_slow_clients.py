"""Clients that ask for output and never read it: roostd keeps a bounded part of it, and others go on."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.isolation.conftest import ISOLATIONS, Arena
from tests.e2e.isolation.test_bombs import FLOOR, TIMES, neighbour, typical

__all__ = ["neighbour"]

CLIENTS = 24
MEMORY = 96 << 20  # bytes that roostd may have more than before: CLIENTS answers of the largest size, and some
FLOOD = "yes 'a line that nobody reads'"


def resident(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


@contextlib.contextmanager
def unread(arena: Arena, requests: list[bytes]) -> Iterator[list[socket.socket]]:
    """Send requests on connections of their own, and read nothing."""
    token = (arena.cloud.home / "keys" / "cli.token").read_text().strip()
    opened: list[socket.socket] = []
    try:
        for request in requests:
            client = socket.socket()
            opened.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", arena.cloud.api_port))
            client.sendall(request.replace(b"TOKEN", token.encode()))
        yield opened
    finally:
        for client in opened:
            client.close()


def post(path: str, body: dict[str, object]) -> bytes:
    text = json.dumps(body).encode()
    more = ("Content-Type: application/json", f"Content-Length: {len(text)}")
    return get(path, *more).replace(b"GET", b"POST", 1) + text


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"GET /v1{path} HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer TOKEN", *headers, "", ""]
    ).encode()


def console(path: str) -> bytes:
    return get(
        path, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_output_that_nobody_reads(arena: Arena, neighbour: str, isolation: str) -> None:
    machine = arena.machine(isolation)
    at = f"/apps/{arena.app}/machines/{machine}"
    words = "&".join(f"command={word}" for word in ("sh", "-c", FLOOD.replace(" ", "%20").replace("'", "%27")))
    requests = [post(f"{at}/exec", {"command": ["sh", "-c", f"{FLOOD} | head -c 3000000"], "timeout": 30})] * CLIENTS
    requests += [console(f"{at}/console?{words}")] * (CLIENTS // 4)
    through_edge: Callable[[], int] = lambda: arena.cloud.get(neighbour).status_code  # noqa: E731
    of_api: Callable[[], int] = lambda: arena.cloud.api("GET", f"/apps/{neighbour}/machines").status_code  # noqa: E731
    pid = arena.cloud.roostd_pid
    try:
        calm, before = (typical(through_edge), typical(of_api)), resident(pid)
        most = 0
        with unread(arena, requests) as clients:
            under_fire = typical(through_edge), typical(of_api)
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                most = max(most, resident(pid) - before)
                assert arena.sh(machine, "echo alive")["stdout"] == "alive\n"
            assert clients[0].recv(12) == b"HTTP/1.1 200", "its answer has begun"
            assert clients[-1].recv(12) == b"HTTP/1.1 101", "its console is open"
        print(f"{isolation}: roostd {most >> 20} MB more, edge {calm[0] * 1e3:.0f} -> {under_fire[0] * 1e3:.0f} ms, "
              f"API {calm[1] * 1e3:.0f} -> {under_fire[1] * 1e3:.0f} ms")  # fmt: skip
        assert most < MEMORY
        for quiet, during in zip(calm, under_fire, strict=True):
            assert during < max(quiet * TIMES, FLOOR)
        count = "grep -lz '^yes' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"
        wait_until(
            lambda: arena.sh(machine, count)["stdout"].strip() == "0", "commands of clients that left have ended"
        )
    finally:
        arena.destroy(machine)
