"""HTTP as an app asks for it: gRPC to HTTP/2 machines, also asleep; compression, headers, streams, 100 and 103."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import zstandard
from tests.e2e.edge.edge_harness import Bench, bench

from roost.edge.contract import Endpoint, Route, WakeResult
from roost.model.port_options import HttpOptions

SERVING = b"\x08\x01"  # HealthCheckResponse with the status SERVING
TEXT = b"all work and no play " * 200


class _Health(grpc.GenericRpcHandler):  # type: ignore[misc]
    """grpc.health.v1.Health with messages as bytes: Check, and Watch that tells three times."""

    def service(self, call: Any) -> Any:
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        if call.method == "/grpc.health.v1.Health/Watch":
            return grpc.unary_stream_rpc_method_handler(self.watch)
        return grpc.stream_stream_rpc_method_handler(self.chat) if call.method == "/chat.Chat/Talk" else None

    async def check(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("told-last", "yes"),))
        if request == b"\n\x04none":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return SERVING

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield SERVING

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for said in requests:
            yield b"you said " + said


@asynccontextmanager
async def health() -> AsyncIterator[Endpoint]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Endpoint("grpc", "127.0.0.1", port)
    finally:
        await server.stop(0.1)


def rpc(endpoints: tuple[Endpoint, ...]) -> Route:
    return Route("rpc", ("rpc.localhost",), endpoints, http=HttpOptions(h2_backend=True))


async def _check(channel: Any, request: bytes = b"") -> Any:
    call = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=20)
    assert await call == SERVING
    return dict(await call.trailing_metadata())


async def test_grpc(tmp_path: Path) -> None:
    async with bench(tmp_path) as it, health() as machine:

        async def wake(_host: str) -> WakeResult:
            await asyncio.sleep(0.05)
            await it.edge.put(rpc((machine,)))
            return WakeResult(endpoint=machine, app="rpc")

        it.waker.wake = wake  # type: ignore[method-assign]
        await it.edge.put(rpc(()))
        options = (("grpc.default_authority", "rpc.localhost"), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{it.cloud.http_port}", options) as channel:
            woken = await asyncio.gather(*(_check(channel) for _ in range(10)))
            assert [trailers["told-last"] for trailers in woken] == ["yes"] * 10
            try:
                await _check(channel, b"\n\x04none")
                raise AssertionError("an error of the app's got lost")
            except grpc.aio.AioRpcError as error:
                assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "unknown service")
            told = [one async for one in channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)]
            assert told == [SERVING] * 3
            talk = channel.stream_stream("/chat.Chat/Talk")(timeout=20)
            for word in (b"one", b"two"):
                await talk.write(word)
                assert await talk.read() == b"you said " + word
            await talk.done_writing()
            await it.edge.put(rpc(()))
            await _check(channel)
            await it.edge.remove("rpc")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An app of a few paths, by hand: what comes when is the matter."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    path = head.split(" ")[1]
    if path == "/upload":
        assert "expect: 100-continue" in head.lower()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = int(head.lower().partition("content-length: ")[2].split("\r")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        got = await reader.readexactly(min(size, 65536))
        writer.write(b"got first" if got else b"")
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):  # else what is left unread would break off the answer
                pass
    elif path == "/events":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(2):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            await writer.drain()
            await reader.read(0) if number else await asyncio.sleep(0.05)
    elif path == "/hints":
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    else:
        kind = path.removeprefix("/as/").encode() if path.startswith("/as/") else b"text/plain"
        extra = b'Set-Cookie: a=1\r\nX-Powered-By: PHP\r\nContent-Type: %s\r\nETag: "1"\r\n' % kind
        writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (extra, len(TEXT)) + TEXT)
    await writer.drain()
    writer.close()


async def _ask(it: Bench, head: str, path: str = "/") -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", it.cloud.http_port)
    writer.write(
        f"{'POST' if path == '/upload' else 'GET'} {path} HTTP/1.1\r\nHost: shop.localhost\r\n{head}\r\n".encode()
    )
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_answers_as_an_app_wants_them(tmp_path: Path) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with bench(tmp_path) as it:
        machine = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
        options = HttpOptions(
            compress=True, headers=(("x-frame-options", ("DENY",)), ("x-percent", ("100%",)), ("x-powered-by", ()))
        )
        await it.edge.put(Route("shop", ("shop.localhost",), (machine,), http=options))

        for accepted, spoken in (("gzip", "gzip"), ("gzip, br", "br"), ("br, zstd, gzip", "zstd"), ("", "")):
            head, reader, _ = await _ask(it, f"Accept-Encoding: {accepted}\r\n" if accepted else "")
            told = dict(line.split(": ", 1) for line in head.decode().lower().strip().split("\r\n")[1:])
            assert told.get("content-encoding", "") == spoken
            assert (told["x-frame-options"], told["x-percent"]) == ("deny", "100%")
            assert "x-powered-by" not in told
            body = b""
            while spoken and (size := int(await reader.readline(), 16)):
                body += await reader.readexactly(size + 2)
                body = body[:-2]
            if spoken == "gzip":
                assert gzip.decompress(body) == TEXT
            elif spoken == "zstd":
                assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == TEXT
            assert len(body) < len(TEXT) / 4

        for kind, worth in (("text/javascript", True), ("application/problem+json;a=1", True), ("image/png", False)):
            head, _, _ = await _ask(it, "Accept-Encoding: gzip\r\n", f"/as/{kind}")
            assert (b"content-encoding: gzip" in head.lower()) == worth, kind

        # events come one by one, uncompressed, as they are sent
        head, reader, _ = await _ask(it, "Accept-Encoding: gzip\r\n", "/events")
        assert b"content-encoding" not in head.lower()
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"data: 0") and await reader.readuntil(b"data: 1")

        # 100: the app says whether to go on; an upload reaches the app before its end
        head, reader, writer = await _ask(it, "Content-Length: 100000000\r\nExpect: 100-continue\r\n", "/upload")
        assert head.startswith(b"HTTP/1.1 100 ")
        writer.write(bytes(1 << 20))
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"got first")).startswith(b"HTTP/1.1 200")
        writer.close()

        # 103: early hints pass, and the answer after them; awake and asleep
        it.waker.apps["shop.localhost"] = ("shop", machine)
        for _ in range(2):
            head, reader, _ = await _ask(it, "", "/hints")
            assert head == b"HTTP/1.1 103 Unknown\r\nlink: </a.css>; rel=preload\r\n\r\n"
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")
            await it.edge.remove("shop")
    server.close()
