"""Strangers on ports of apps' own who mean harm: what they take is bounded, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import AnyName, Bench, bench, envoys_of, fetch, free_port, until
from tests.e2e.edge.test_floods import Victim, held_for_each, pouring
from tests.e2e.edge.test_postgres import TLS
from tests.e2e.edge.test_public_ports import lines
from tests.e2e.edge.test_udp_ports import echo

from roost.edge import bounds, cell_plan, machine_limits, port_config, port_door
from roost.edge.bootstrap import Caps
from roost.edge.contract import Endpoint, PublicPort, WakeResult

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def files_of(it: Bench) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in envoys_of(it.cloud))


@asynccontextmanager
async def crowd(port: int, count: int) -> AsyncIterator[list[Stream]]:
    """So many connections at once."""
    made = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(count)))
    try:
        yield list(made)
    finally:
        for _, writer in made:
            writer.transport.abort()


async def first_line(one: Stream) -> str:
    """Return what a client is told first; "" when it is turned away."""
    try:
        async with asyncio.timeout(10):
            return (await one[0].readline()).decode().strip()
    except ConnectionError:
        return ""


async def test_a_flood_on_a_sleeping_port_does_not_turn_away_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_config, "MAX_WAITING", 20)
    port, gate = free_port(), asyncio.Event()
    async with bench(tmp_path) as it, lines("a") as machine:

        async def wake(_app: str) -> WakeResult:
            await gate.wait()
            await it.edge.put_ports("db", [PublicPort("db", port, endpoints=(machine,))])
            return WakeResult(endpoint=machine, app="db")

        it.waker.on_port = wake
        await it.edge.put(it.route())
        await it.edge.put_ports("db", [PublicPort("db", port)])
        victim = Victim(it)
        async with crowd(port, 15) as early:
            await until(lambda: len(it.waker.port_wakes) == 15, what="they wait")
            async with crowd(port, 200) as late:
                told = [asyncio.create_task(first_line(one)) for one in late]
                await until(lambda: sum(task.done() for task in told) >= 190, what="there is no room for most")
                gate.set()
                assert [await first_line(one) for one in early] == ["hello from a"] * 15
                answers = [await task for task in told]
                assert 1 <= answers.count("hello from a") <= 10
        await victim.judge()


async def test_a_flood_of_requests_on_a_sleeping_port_fails_none_of_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_limits, "MAX_WAITING", 20)
    monkeypatch.setattr(port_door, "REFUSED", 40)
    port, gate = free_port(), asyncio.Event()
    async with bench(tmp_path) as it:

        async def wake(_app: str) -> WakeResult:
            await gate.wait()
            await it.edge.put_ports("web", [PublicPort("web", port, handlers=("http",), endpoints=(it.endpoint,))])
            return WakeResult(endpoint=it.endpoint, app="web")

        it.waker.on_port = wake
        await it.edge.put_ports("web", [PublicPort("web", port, handlers=("http",))])
        early = [asyncio.create_task(fetch(port, "web")) for _ in range(15)]
        await until(lambda: len(it.waker.port_wakes) == 15, what="they wait")
        late = [asyncio.create_task(fetch(port, "web")) for _ in range(100)]
        await until(lambda: sum(task.done() for task in late) >= 90, what="there is no room for most")
        gate.set()
        assert [answer.status for answer in await asyncio.gather(*early)] == [200] * 15
        statuses = [answer.status for answer in await asyncio.gather(*late)]
        assert 1 <= statuses.count(200) <= 10
        assert statuses.count(503) + statuses.count(200) == 100


async def test_readers_that_take_nothing_of_a_port_have_the_edge_hold_little(tmp_path: Path) -> None:
    server, port = await pouring(asyncio.Event()), free_port()
    try:
        async with bench(tmp_path) as it:
            machine = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
            await it.edge.put_ports("db", [PublicPort("db", port, endpoints=(machine,))])
            assert await held_for_each(it, port, b"") < 100_000
    finally:
        server.close()


async def test_http_on_a_port_that_is_never_taken_is_given_up_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "UNREAD", 1000)
    gone, port = asyncio.Event(), free_port()
    server = await pouring(gone)
    try:
        async with bench(tmp_path) as it:
            machine = Endpoint("m", "127.0.0.1", server.sockets[0].getsockname()[1])
            await it.edge.put_ports("db", [PublicPort("db", port, endpoints=(machine,), handlers=("http",))])
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(b"GET / HTTP/1.1\r\nHost: db\r\n\r\n")
                await asyncio.wait_for(gone.wait(), 8.0)
    finally:
        server.close()


async def test_one_port_leaves_others_half_of_the_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_plan, "Caps", lambda **more: Caps(**{**more, "connections": 100}))
    port = free_port()
    async with bench(tmp_path) as it, lines("a") as machine:
        await it.edge.put(it.route())
        await it.edge.put_ports("db", [PublicPort("db", port, endpoints=(machine,))])
        victim = Victim(it)
        async with crowd(port, 80) as made:
            answers = await asyncio.gather(*map(first_line, made))
            assert 45 <= answers.count("hello from a") <= 50, "the rest were closed at once"
            assert (await it.get()).status == 200

        async def served() -> bool:
            async with crowd(port, 1) as (one,):
                return await first_line(one) == "hello from a"

        await until(served, what="there is room again")
        await victim.judge()


async def test_datagrams_of_very_many_senders_take_no_files_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Senders' addresses can be forged, so no limit by address holds them."""
    monkeypatch.setattr(cell_plan, "Caps", lambda **more: Caps(**{**more, "connections": 100}))
    monkeypatch.setattr(port_config, "UDP_IDLE", "0.5s")
    asleep, awake = free_port(), free_port()
    async with bench(tmp_path) as it, echo() as (app, machine):
        await it.edge.put(it.route())
        await it.edge.put_ports("dns", [PublicPort("dns", awake, "udp", endpoints=(machine,))])
        await it.edge.put_ports("far", [PublicPort("far", asleep, "udp")])
        victim, before, most = Victim(it), files_of(it), 0
        for port in (awake, asleep):
            for n in range(400):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.bind((f"127.0.{1 + n // 200}.{1 + n % 200}", 0))
                    sender.sendto(b"x", ("127.0.0.1", port))
            await asyncio.sleep(0.05)
            most = max(most, files_of(it) - before)
        assert 20 < most < 130, "50 sessions of each, and the victim's"

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)

            async def answered() -> bool:
                client.sendto(b"again", ("127.0.0.1", awake))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        return await asyncio.get_running_loop().sock_recv(client, 100) == b"you said again"
                return False

            await until(answered, what="when they are silent others are served")
        assert app.got
        await victim.judge()


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def half_greeted(port: int, first: bytes) -> Stream:
    """Greet by TLS, and say nothing more when the server has greeted back."""
    words = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        unchecked().wrap_bio(ssl.MemoryBIO(), words, server_hostname="db.localhost").do_handshake()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(first)
        assert not first or await reader.readexactly(1) == b"S"
        writer.write(words.read())
        assert (await reader.readexactly(1)) == b"\x16"
    return reader, writer


@pytest.mark.parametrize("handler", ["tls", "pg_tls"])
async def test_who_does_not_end_its_tls_greeting_reaches_no_app_and_wakes_none(tmp_path: Path, handler: str) -> None:
    port = free_port()
    of_postgres = handler == "pg_tls"
    postgres_port, first, kind = (port, TLS, "pg") if of_postgres else (0, b"", "tcp")
    async with bench(tmp_path, certificates=AnyName(), postgres_port=postgres_port) as it, lines("a") as machine:
        at = PublicPort("db", port, kind, hosts=("db.localhost",), handlers=(handler,))

        async def wake(_app: str) -> WakeResult:
            await it.edge.put_ports("db", [replace(at, endpoints=(machine,))])
            return WakeResult(endpoint=machine, app="db")

        it.waker.on_port = wake
        await it.edge.put_ports("db", [at])
        half = await asyncio.gather(*(half_greeted(port, first) for _ in range(20)))
        assert it.waker.port_wakes == []
        for _ in range(2):  # asleep, then awake
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(5):
                writer.write(first)
                await reader.readexactly(len(first) // 8)
                await writer.start_tls(unchecked(), server_hostname="db.localhost")
                writer.write(b"x" * 50_000 + b"\n")
                assert await reader.readline() == b"hello from a\n"
                assert await reader.readexactly(50_003) == b"a:" + b"x" * 50_000 + b"\n"
            writer.close()
        assert len(it.waker.port_wakes) == 1
        half += await asyncio.gather(*(half_greeted(port, first) for _ in range(20)))
        assert (await it.cell.active("db")).get("db", 0) <= 1
        for _, writer in half:
            writer.transport.abort()
