"""The processes around the edge in bench/cells.py: backends, a client that measures, one that only holds connections.

`backend PORT WORD` answers every request with WORD. `probe PORT HOST RATE SECONDS` asks so often, each time on a new
connection, and prints JSON: [begin, milliseconds, answered well] of each. `hold PORT HOST COUNT SECONDS` says that it
is ready, waits for a line, makes so many connections with half a request's headers, and goes on sending them slowly.
Each ends by itself, or when it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from roost.host.open_files import allow_all

ARRIVALS = 2500.0  # connections a second of the client that holds them


class _Answer(asyncio.Protocol):
    def __init__(self, word: bytes) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(word), word)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]
        if b"Connection: close" in data:
            self._transport.close()


@contextlib.contextmanager
def only_when_idle() -> Iterator[list[str]]:
    """Give what is written before a command to have it run as if on another computer: only when nobody else does.

    Being nice is not enough: what is just starting at niceness 19 was seen to keep others waiting for 60 ms.
    """
    trees = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
    group = next(tree for tree in trees if (tree / "cgroup.procs").exists()) / f"roost-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.idle").write_text("1")
        yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
    finally:
        group.rmdir()


async def ready(argv: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a client that says when it is ready, and give it then; it begins with a line on its standard input."""
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise RuntimeError("the client did not begin")
    return process


async def backend(port: int, word: str) -> None:
    os.setsid()  # a machine has a weight of its own
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answer(word.encode()), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def ask(port: int, host: str, timeout: float = 5.0) -> bytes:
    """Return the body's last line of one request on its own connection, b"" unless it is a 200."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
                return answer.rpartition(b"\r\n\r\n")[2] if answer.startswith(b"HTTP/1.1 200") else b""
            finally:
                writer.close()
    return b""


async def probe(port: int, host: str, rate: float, seconds: float) -> list[tuple[float, float, bool]]:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # as if on another computer; it uses little
    found: list[tuple[float, float, bool]] = []

    async def one() -> None:
        wall, began = time.time(), time.perf_counter()
        well = bool(await ask(port, host))
        found.append((wall, (time.perf_counter() - began) * 1000, well))

    end, tasks = time.monotonic() + seconds, []
    due = time.monotonic()
    while time.monotonic() < end:
        tasks.append(asyncio.create_task(one()))
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*tasks)
    return found


def hold(port: int, host: str, count: int, seconds: float) -> None:
    """Connect and send at an even pace, with pauses in which the processor is others', as if on another computer."""
    allow_all()  # else 1,024 is what many systems give, and the rest would be left out in silence
    print("ready", flush=True)
    sys.stdin.readline()
    end, links = time.monotonic() + seconds, []
    for number in _paced(range(count), ARRIVALS):
        with contextlib.suppress(OSError):
            link = socket.create_connection(("127.0.0.1", port), timeout=5.0)
            # Each begins with a whole request, so that the front has led it to the cell.
            link.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\nGET / HTTP/1.1\r\nX-{number}: ".encode())
            link.setblocking(False)
            links.append(link)
    while links and time.monotonic() < end:
        for link in _paced(links, 2 * len(links)):  # each twice a second, not all at once
            with contextlib.suppress(OSError):
                link.send(b"x" * 200)


def _paced(those: Iterable[Any], rate: float) -> Iterator[Any]:
    """Give so many a second."""
    due = time.monotonic()
    for one in those:
        yield one
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    role, port, what, *rest = sys.argv[1:]
    if role == "backend":
        asyncio.run(backend(int(port), what))
    elif role == "hold":
        hold(int(port), what, int(rest[0]), float(rest[1]))
    else:
        print(json.dumps(asyncio.run(probe(int(port), what, float(rest[0]), float(rest[1])))))
