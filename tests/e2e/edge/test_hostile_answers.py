"""An app that answers more than it was asked, or what two readers could take for different things."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e.edge.edge_harness import Bench, until
from tests.e2e.edge.raw_h2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, block, frame

from roost.edge.contract import Endpoint, Route
from roost.model.port_options import HttpOptions

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
    b"HTTP/1.1 099 Odd\r\nContent-Length: 6\r\n\r\npoison": INVALID,
    b"HTTP/1.1 1000 Odd\r\nContent-Length: 6\r\n\r\npoison": INVALID,
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


async def test_a_status_that_is_none_by_http2_is_no_answer(at: Bench) -> None:
    says = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"SM\r\n\r\n")  # of the preface
            writer.write(frame(SETTINGS, 0, 0))
            while True:
                start = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(start[:3], "big"))
                if start[3] == SETTINGS and not start[4] & ACK:
                    writer.write(frame(SETTINGS, ACK, 0))
                if start[3] == HEADERS:
                    stream, head = (
                        int.from_bytes(start[5:], "big"),
                        block([(b":status", says), (b"content-length", b"4")]),
                    )
                    writer.write(frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, b"good"))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        here = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
        await at.edge.put(Route("bad", ("bad.localhost",), (here,), http=HttpOptions(h2_backend=True)))
        for status in (b"099", b"000", b"020"):
            says = status
            got = await at.get("/evil", "bad.localhost")
            assert (got.status, got.headers.get("roost-error", "")) == INVALID, status
            assert b"good" not in got.body
        says = b"299"
        assert (await at.get("/good", "bad.localhost")).body == b"good"  # the connection is as before
        await until(lambda: len(at.ended) == 4, what="all are in the log")
        assert [(one.status, one.error) for _, one in at.ended] == [INVALID] * 3 + [(299, "")]
    finally:
        server.close()
