"""Checks of servers that speak HTTP/2 only, with a real one of gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from tests.unit.host_health.test_health_checks import answering, serving

from roost.host.health import check
from roost.model.machine_config import Check, read_machine_config
from roost.plan.checks import checks_of, speaks_http2


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    found = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)


async def test_a_server_of_grpc_answers_by_http2(port: int) -> None:
    found = await check(Check(port, type="http", http2=True), "127.0.0.1")
    assert (found.listening, found.passing, found.speaks_http) == (True, False, True)
    assert "check a server of gRPC by TCP" in found.output


async def test_one_who_asks_it_by_http1_is_told_what_to_set(port: int) -> None:
    found = await check(Check(port, type="http"), "127.0.0.1")
    assert (found.status, found.listening) == (0, True)
    assert "h2_backend = true" in found.output


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"", b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\4\0\0\0\1\xff"])
async def test_what_is_no_http2_is_told(answer: bytes) -> None:
    async with serving(answering(answer)) as port:
        found = await check(Check(port, type="http", http2=True), "127.0.0.1")
        assert (found.speaks_http, found.listening) == (False, True)
        assert "no valid HTTP/2 answer" in found.output


async def test_a_header_that_http2_does_not_have_is_told(port: int) -> None:
    found = await check(Check(port, type="http", http2=True, headers=(("TE", "gzip"),)), "127.0.0.1")
    assert (found.listening, found.passing, found.speaks_http) == (True, False, False)
    assert "the check's request can't be sent: Invalid value for TE header" in found.output


def test_checks_of_a_service_speak_as_it_does() -> None:
    port = {"port": 80, "handlers": ["http"], "http_options": {"h2_backend": True}}
    services = [
        {"internal_port": 8080, "ports": [port], "checks": [{"type": "http"}, {"type": "tcp"}]},
        {"internal_port": 9090, "ports": [{"port": 21000}], "checks": [{"type": "http"}]},
    ]
    own = {"own": {"type": "http", "port": 8080}}
    config = read_machine_config({"image": "x", "services": services, "checks": own})
    assert [speaks_http2(config, number) for number in (8080, 9090, 80)] == [True, False, False]
    assert {(one.port, one.type): one.http2 for one in checks_of(config).values()} == {
        (8080, "http"): True, (8080, "tcp"): True, (9090, "http"): False,
    }  # fmt: skip


async def test_an_answer_by_http2_is_judged_like_any() -> None:
    def told(status: bytes) -> bytes:
        head = b"\x08\x03" + status + b"\x00\x01a\x01b"  # :status by its name in the table, and a header
        return b"\0\0\0\4\0\0\0\0\0" + len(head).to_bytes(3, "big") + b"\1\4\0\0\0\1" + head + b"\0\0\2\0\1\0\0\0\1ok"

    for status, passing in ((b"200", True), (b"503", False)):
        async with serving(answering(told(status))) as port:
            found = await check(Check(port, type="http", path="/up", http2=True), "127.0.0.1")
            assert (found.passing, found.output) == (passing, f"GET /up answered {status.decode()}: ok")
