"""Machines that fail while others are fine: what is tried again, what never is, and who gets no more requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.e2e.edge.edge_harness import Bench, free_port, until
from tests.e2e.edge.test_error_classes import reset

from roost.edge import resilience
from roost.edge.contract import Endpoint, Route


@dataclass
class Machine:
    """A machine of an app that says `says` to each request, or does it; counts the requests that arrived."""

    says: bytes | Callable[[asyncio.StreamWriter], None]
    arrived: Counter[str] = field(default_factory=Counter)
    port: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"content-length: 2" in head.lower():
                    await reader.readexactly(2)
                self.arrived[head.split(b" ")[0].decode()] += 1
                if not isinstance(self.says, bytes):
                    self.says(writer)
                    return
                writer.write(self.says)


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAILS = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def app_of(at: Bench, *machines: Machine, gone: int = 0) -> AsyncIterator[None]:
    """Route `two.localhost` to these machines, and to `gone` that do not listen."""
    async with AsyncExitStack() as stack:
        for machine in machines:
            server = await asyncio.start_server(machine.handle, "127.0.0.1", 0)
            stack.callback(server.close)
            machine.port = server.sockets[0].getsockname()[1]
        ports = [machine.port for machine in machines] + [free_port() for _ in range(gone)]
        endpoints = tuple(Endpoint(f"m{number}", "127.0.0.1", port) for number, port in enumerate(ports))
        await at.edge.put(Route("two", ("two.localhost",), endpoints))
        yield


async def ask(at: Bench, method: str, times: int = 1) -> Counter[int]:
    body = b"hi" if method == "POST" else b""
    return Counter([(await at.get("/", "two.localhost", method=method, body=body)).status for _ in range(times)])  # type: ignore[arg-type]


async def test_a_post_that_the_app_may_have_seen_is_never_sent_twice(at: Bench) -> None:
    bad, good = Machine(reset), Machine(FINE)
    async with app_of(at, bad, good):
        told = await ask(at, "POST", 12)
    assert bad.arrived["POST"] >= 1
    assert told == {502: bad.arrived["POST"], 200: good.arrived["POST"]}
    assert bad.arrived["POST"] + good.arrived["POST"] == 12


async def test_a_get_that_was_reset_is_asked_of_another_machine(at: Bench) -> None:
    bad, good = Machine(reset), Machine(FINE)
    async with app_of(at, bad, good):
        assert await ask(at, "GET", 12) == {200: 12}
    assert bad.arrived["GET"] >= 1
    assert good.arrived["GET"] == 12


async def test_a_try_never_meets_a_machine_that_was_tried(at: Bench) -> None:
    bad, good = [Machine(reset), Machine(reset)], Machine(FINE)
    async with app_of(at, *bad, good):
        assert await ask(at, "GET", 20) == {200: 20}
    assert good.arrived["GET"] == 20


async def test_a_get_that_kills_whoever_gets_it_meets_three_machines_at_most(at: Bench) -> None:
    killed = [Machine(reset) for _ in range(5)]
    async with app_of(at, *killed):
        assert await ask(at, "GET") == {502: 1}
    assert sum(machine.arrived["GET"] for machine in killed) == 1 + resilience.SAFE_RETRIES


async def test_what_could_not_be_sent_is_tried_elsewhere_whatever_it_is(at: Bench) -> None:
    good = Machine(FINE)
    async with app_of(at, good, gone=1):
        assert await ask(at, "POST", 12) == {200: 12}
    assert good.arrived["POST"] == 12


async def test_an_answer_of_5xx_is_the_apps_and_is_not_asked_again(at: Bench) -> None:
    alone = Machine(FAILS)
    async with app_of(at, alone):
        assert await ask(at, "GET", 20) == {500: 20}
    assert alone.arrived["GET"] == 20, "the only machine is never taken out"


async def test_a_machine_that_fails_again_and_again_gets_no_more_requests_until_later(at: Bench) -> None:
    bad, good = Machine(FAILS), Machine(FINE)
    async with app_of(at, bad, good):
        await ask(at, "POST", 40)
        before = bad.arrived["POST"]
        assert before <= resilience.FAILURES + 1
        assert await ask(at, "POST", 10) == {200: 10}
        assert bad.arrived["POST"] == before
        assert await at.edge.ejected("two") == ["m0"]
        assert await at.edge.ejected("hello") == []
        bad.says = FINE
        deadline = 2 * resilience.FIRST_EJECTION + 3

        async def back() -> bool:
            await ask(at, "POST", 4)
            return bad.arrived["POST"] > before

        await until(back, timeout=deadline, what="it is given another chance")
        assert await at.edge.ejected("two") == []


async def test_when_all_fail_all_are_asked(at: Bench) -> None:
    machines = [Machine(FAILS), Machine(FAILS)]
    async with app_of(at, *machines):
        assert await ask(at, "POST", 30) == {500: 30}
