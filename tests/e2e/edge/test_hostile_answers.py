"""An app that answers more than it was asked, or what two readers could take for different things."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e.edge.edge_harness import Bench

from roost.edge.contract import Endpoint, Route

MORE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
OK = b"HTTP/1.1 200 OK\r\n"
GOOD = OK + b"Content-Length: 4\r\n\r\ngood"
INVALID = (502, "app_invalid_answer")
ANSWERS: dict[bytes, tuple[int, str]] = {
    OK + b"Content-Length: 2\r\n\r\nok" + MORE: (200, ""),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + b"Content-Length: 2\r\n\r\nok" + MORE: (200, ""),
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + MORE: INVALID,
    OK + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\nok" + MORE: INVALID,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 48\r\n\r\n" + MORE: INVALID,
    OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok" + MORE: INVALID,
}


@pytest.mark.parametrize("awake", [True, False])
async def test_what_an_app_says_unasked_reaches_nobody(at: Bench, awake: bool) -> None:
    says = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(says if b"/evil" in head else GOOD)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        here = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
        at.waker.apps["bad.localhost"] = ("bad", here)
        if awake:
            await at.edge.put(Route("bad", ("bad.localhost",), (here,)))
        for answer, expected in ANSWERS.items():
            says = answer
            for _ in range(2):
                got = await asyncio.gather(at.get("/evil", "bad.localhost"), at.get("/good", "bad.localhost"))
                assert (got[0].status, got[0].headers.get("roost-error", "")) == expected, answer
                assert b"poison" not in got[0].body
                for other in (got[1], await at.get("/good", "bad.localhost")):
                    assert other.body == b"good", answer
    finally:
        server.close()
