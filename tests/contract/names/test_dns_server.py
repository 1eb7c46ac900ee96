"""The DNS server on loopback, asked by a resolver library and by hostile bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports import free_port

from roost.host.dns_server import DnsServer, Records, bound

MANY = Records(tuple(f"10.0.{n // 250}.{n % 250}" for n in range(300)), ("fdaa::1",), None)
ZONE = {"shop.internal.": MANY, "vms.shop.internal.": Records(text="x" * 600), "empty.internal.": Records()}


async def look_up(asker: str, name: str) -> Records | None:
    if name == "broken.internal.":
        raise RuntimeError("a defect")
    return ZONE.get(name) if asker == "127.0.0.1" else None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    number = free_port()
    server = DnsServer(look_up, lambda: ["127.0.0.1"], lambda _problem: None)  # upstream: nobody listens on its port 53
    await server.listen(bound(["127.0.0.1"], number))
    yield number


async def ask(port: int, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    call = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await call(query, "127.0.0.1", port=port, timeout=5)


async def test_a_large_answer_is_cut_by_udp_and_whole_by_tcp(port: int) -> None:
    cut = await ask(port, "shop.internal")
    assert cut.flags & dns.flags.TC
    assert not cut.answer
    whole = await ask(port, "shop.internal", tcp=True)
    assert len(whole.answer[0]) == 300
    assert whole.answer[0].ttl == 5
    small = await ask(port, "shop.internal", "AAAA")
    assert [item.to_text() for item in small.answer[0]] == ["fdaa::1"]
    assert small.flags & dns.flags.AA


async def test_a_long_text_comes_in_pieces(port: int) -> None:
    answer = await ask(port, "vms.shop.internal", "TXT", tcp=True)
    assert b"".join(answer.answer[0][0].strings) == b"x" * 600


async def test_what_is_not_there(port: int) -> None:
    assert (await ask(port, "nosuch.internal")).rcode() == dns.rcode.NXDOMAIN
    empty = await ask(port, "empty.internal")
    assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
    assert (await ask(port, "shop.internal", "MX")).answer == []
    assert (await ask(port, "shop.internal", "ANY")).rcode() == dns.rcode.REFUSED
    assert (await ask(port, "broken.internal")).rcode() == dns.rcode.SERVFAIL
    assert (await ask(port, "example.org")).rcode() == dns.rcode.SERVFAIL  # no upstream answers


async def test_silent_and_oversized_connections_end(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\xff\xff" + b"x" * 100)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer_or_silence(wire: bytes) -> None:
    server = DnsServer(look_up, lambda: [], lambda _problem: None)
    answer = asyncio.run(server.answer("127.0.0.1", wire, limit=1232))
    assert answer is None or len(answer) <= 1232


async def test_one_asker_has_a_bounded_number_of_questions_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    server = DnsServer(look_up, lambda: [], lambda _problem: None)
    hold, running = asyncio.Event(), 0

    async def work() -> None:
        nonlocal running
        running += 1
        await hold.wait()

    for _ in range(200):
        server.spawn("10.0.0.1", work())
    server.spawn("10.0.0.2", work())
    await asyncio.sleep(0)
    assert running == 65
    hold.set()
