"""Each class of error that the edge answers, provoked by an app or a client that does that very thing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.e2e.edge.edge_harness import Bench

from roost.edge import snapshot
from roost.edge.contract import Endpoint, Route

HOST = b"Host: bad.localhost\r\n"


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes, return all that is answered until the edge closes, which resets what it has not read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionResetError):
                while piece := await reader.read(1 << 16):
                    answer += piece
        return answer
    finally:
        writer.close()


def told(answer: bytes) -> tuple[int, str, str]:
    """The status, and what Roost-Error and Roost-Fault say."""
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:])
    return int(head[0].split(" ")[1]), headers.get("roost-error", ""), headers.get("roost-fault", "")


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def answering(
    at: Bench, with_bytes: bytes | Callable[[asyncio.StreamWriter], None], *, asleep: bool = False
) -> AsyncIterator[list[int]]:
    """An app `bad` that reads a request's head, says `with_bytes` and closes; counts the requests."""
    arrivals = [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrivals[0] += 1
        if isinstance(with_bytes, bytes):
            writer.write(with_bytes)
            await writer.drain()
        else:
            with_bytes(writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        endpoint = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
        if asleep:
            at.waker.apps["bad.localhost"] = ("bad", endpoint)
        else:
            await at.edge.put(Route("bad", ("bad.localhost",), (endpoint,)))
        yield arrivals
    finally:
        at.waker.apps.pop("bad.localhost", None)
        server.close()


APPS: list[tuple[bytes | Callable[[asyncio.StreamWriter], None], tuple[int, str, str]]] = [
    (b"", (502, "app_closed_connection", "app")),
    (reset, (502, "app_closed_connection", "app")),
    (b"220 mail.example ESMTP\r\n", (502, "app_invalid_answer", "app")),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", (502, "app_invalid_answer", "app")),
    (
        b"HTTP/1.1 503 Mine\r\nRoost-Error: no_machine\r\nFly-Error: PR01\r\nContent-Length: 0\r\n\r\n",
        (503, "", ""),
    ),
]


async def test_what_an_app_does(at: Bench) -> None:
    request = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi"
    for says, expected in APPS:
        async with answering(at, says) as arrivals:
            answer = await raw(at.cloud.http_port, request)
            assert told(answer) == expected, says
            assert (b"fly-error" in answer) == bool(expected[1])
            assert arrivals == [1], "a POST that the app may have seen is never sent again"


async def test_what_an_app_does_that_was_just_woken(at: Bench) -> None:
    for method in (b"POST", b"GET"):
        for says, expected in APPS[:2]:
            async with answering(at, says, asleep=True) as arrivals:
                answer = await raw(
                    at.cloud.http_port, method + b" / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
                )
                assert told(answer) == expected, says
                assert arrivals == [1]


async def test_an_app_too_busy_to_accept_is_told_from_one_that_does_not_listen(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        await at.edge.put(Route("bad", ("bad.localhost",), (Endpoint("m", "127.0.0.1", port),)))
        answer = await raw(at.cloud.http_port, b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        for filler in fillers:
            filler.close()
    assert told(answer) == (502, "app_not_accepting", "app")
    assert b"fly-error: PC05" in answer


INVALID = [
    (b"220 mail.example ESMTP\r\n", "had sent 24 bytes: not too large, but its first line or a header is not HTTP"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "bytes: its headers are larger than 60 KiB, or"),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        "its body was not HTTP: a chunk's length",
    ),
]


async def test_what_was_invalid_of_an_apps_answer_is_told(at: Bench) -> None:
    for number, (says, expected) in enumerate(INVALID):
        async with answering(at, says):
            head = b"GET /%d HTTP/1.1\r\n" % number + HOST + b"Connection: close\r\n\r\n"
            page = await raw(at.cloud.http_port, head)
        if b"app_invalid_answer" in page:
            tries = int(page.partition(b" bytes (tried ")[2].partition(b" times")[0])
            assert b"It had sent %d bytes (tried %d times)." % (len(says) * tries, tries) in page
        logged = await at.logged(f"/{number}", "bad")
        assert expected in logged.detail, logged
        assert logged.fault == "app"


CLIENTS = [
    (b"GARBAGE\r\n\r\n", (400, "bad_request", "client")),
    (b"GET / HTTP/1.1\r\n\r\n", (400, "bad_request", "client")),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X_A: a\r\n\r\n", (400, "bad_request", "client")),
    (b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n", (400, "bad_request", "client")),
    (
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        (400, "bad_request", "client"),
    ),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", (431, "headers_too_large", "client")),
    (
        b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"x%d: a\r\n" % i for i in range(150)) + b"\r\n",
        (431, "headers_too_large", "client"),
    ),
    (b"QUERY / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", (400, "query_without_type", "client")),
    (b"GET https://bad.localhost/ HTTP/1.1\r\n" + HOST + b"\r\n", (421, "https_without_tls", "client")),
    (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", (400, "bad_request", "client")),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", (404, "no_route", "client")),
    (
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: foo\r\n\r\n",
        (403, "upgrade_refused", "client"),
    ),
]


async def test_what_a_client_does(at: Bench) -> None:
    async with answering(at, b"HTTP/1.1 204 No Content\r\n\r\n") as arrivals:
        answers = await asyncio.gather(*(raw(at.cloud.http_port, request) for request, _ in CLIENTS))
        for (request, expected), answer in zip(CLIENTS, answers, strict=True):
            assert told(answer) == expected, request[:80]
        assert arrivals == [0]
