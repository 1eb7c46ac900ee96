"""What requests' bodies take of an Envoy's memory: an app that does not answer has its part, and all others go on.

And nothing is lost of a body by what Envoy is made to let go of.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import Answer, Bench, bench, resident, until

from roost.edge import cell_plan
from roost.edge.bootstrap import Caps
from roost.edge.contract import Endpoint, Route

HEAP = 128 << 20
ROOM = HEAP // 2  # of which an app has half
PASSING = 128 << 10  # of a body on its way to the app; of one that is kept, beside what has come, of a long one twice
LONG = 3_000_000  # bytes of a body that is not kept
FULL, OVERLOADED = (503, "app_uploads_full"), (503, "edge_overloaded")


@dataclass
class Silent:
    """An app that reads requests, and never answers one to its end."""

    at: Bench
    name: str
    seen: int = 0  # requests of which something has come
    whole: int = 0
    sent: list[asyncio.Task[Answer]] = field(default_factory=list)

    def send(self, count: int, size: int) -> None:
        """Let `count` clients send so many bytes each."""
        body = b"x" * size
        host = f"{self.name}.localhost"
        self.sent += [asyncio.create_task(self.at.get("/upload", host, method="POST", body=body)) for _ in range(count)]  # type: ignore[arg-type]

    @property
    def held(self) -> int:
        """Requests that wait for their answer."""
        return sum(not task.done() for task in self.sent)

    @property
    def settled(self) -> bool:
        """Say whether each request is refused, or whole at the app."""
        return self.whole == self.held

    def refused(self) -> Counter[tuple[int, str]]:
        answers = [task.result() for task in self.sent if task.done()]
        return Counter((answer.status, answer.headers.get("roost-error", "")) for answer in answers)


@contextlib.asynccontextmanager
async def silent(at: Bench, name: str, *, begins: bool = False, hard_limit: int = 0) -> AsyncIterator[Silent]:
    """Put such an app behind the edge; it `begins` an answer when it has read a request, if asked to."""
    end = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            app.seen += 1
            left = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            while left and (more := await reader.read(1 << 16)):
                left -= len(more)
            if not left:
                app.whole += 1
                if begins:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n")
                await end.wait()
        writer.close()

    app = Silent(at, name)
    server = await asyncio.start_server(keep, "127.0.0.1", 0, backlog=1000)
    try:
        there = Endpoint(name, "127.0.0.1", server.sockets[0].getsockname()[1])
        await at.edge.put(Route(name, (f"{name}.localhost",), (there,), hard_limit=hard_limit))
        yield app
    finally:
        end.set()
        server.close()
        for task in app.sent:
            task.cancel()
        await asyncio.gather(*app.sent, return_exceptions=True)


@pytest_asyncio.fixture
async def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(cell_plan, "Caps", lambda **more: Caps(**{**more, "heap_bytes": HEAP}))
    async with bench(tmp_path) as made:
        await made.edge.put(made.route())
        yield made


async def upload(at: Bench, size: int) -> int:
    """Send a body to an app that answers; return the status."""
    return (await at.get("/upload", method="POST", body=b"x" * size)).status  # type: ignore[arg-type]


async def test_an_app_has_its_part_and_others_bodies_go_on(at: Bench) -> None:
    most = ROOM // 2 / (900_000 + PASSING)
    async with silent(at, "busy") as busy:
        busy.send(70, 900_000)
        await until(lambda: busy.held < 70, what="one too many is refused")
        assert (await at.get()).status == 200
        assert await upload(at, 900_000) == 200
        await until(lambda: busy.settled, 20, what="each is refused or at the app")
        assert most - 3 < busy.held < most + 3
        assert set(busy.refused()) == {FULL}
        before = busy.held
        busy.send(5, 10_000)
        await until(lambda: busy.settled and busy.held == before + 5, what="small ones go on")
        for task in busy.sent:
            task.cancel()

        async def has_room() -> bool:
            busy.send(1, 900_000)
            await until(lambda: busy.whole > before + 5 or busy.sent[-1].done())
            return not busy.sent[-1].done()

        await until(has_room, what="who went away gives the room back")


async def test_of_long_bodies_an_app_may_have_many_more(at: Bench) -> None:
    """Longer ones than can be sent again are not kept, but while they begin they may yet be short."""
    part, once = ROOM // 2, 8
    async with silent(at, "long") as long:
        before = resident(at)
        for _ in range(20):
            surely = long.held * 2 * PASSING + once * ((1 << 20) + PASSING) < part
            refused = len(long.sent) - long.held
            long.send(once, 1_500_000)
            await until(lambda: long.settled, 20, what="each is refused or at the app")
            assert not surely or len(long.sent) - long.held == refused == 0
        assert part / (2 * PASSING) - 20 < long.held < part / (2 * PASSING) + 3
        assert set(long.refused()) == {FULL}
        assert resident(at) - before < 70 << 20, "if all were kept it would be twice as much"
        assert await upload(at, 900_000) == 200


async def test_what_waits_in_line_before_an_app_counts(at: Bench) -> None:
    async with silent(at, "line", hard_limit=60) as line:
        line.send(60, 1)
        await until(lambda: line.whole == 60, what="as many as may be are under way")
        line.send(100, LONG)
        most = ROOM // 2 / ((1 << 20) + PASSING)
        await until(
            lambda: len(line.refused()) > 0 and line.held - 60 < most + 3, what="those beyond the room are refused"
        )
        assert most - 3 < line.held - 60
        assert set(line.refused()) == {FULL}
        assert await upload(at, 900_000) == 200


async def test_when_an_app_has_begun_to_answer_nothing_is_kept(at: Bench) -> None:
    async with silent(at, "begun", begins=True) as begun:
        before = resident(at)
        for _ in range(6):
            begun.send(20, 900_000)
            await until(lambda: begun.settled, 20, what="each is at the app")
        assert (begun.held, begun.refused()) == (120, Counter())
        assert resident(at) - before < 60 << 20, "kept they would be 108 MB"


async def test_several_apps_have_the_room_together_and_other_requests_go_on(at: Bench) -> None:
    async with silent(at, "one") as one, silent(at, "two") as two, silent(at, "three") as three:
        apps = (one, two, three)
        for app in apps:
            app.send(40, 900_000)
        await until(lambda: sum(app.held for app in apps) < 120, what="one too many is refused")
        assert (await at.get()).status == 200
        await until(lambda: all(app.settled for app in apps), 20, what="each is refused or at its app")
        most = ROOM / (900_000 + PASSING)
        assert most - 4 < sum(app.held for app in apps) < most + 4
        refused = one.refused() + two.refused() + three.refused()
        assert OVERLOADED in refused
        assert set(refused) <= {OVERLOADED, FULL}
        assert await upload(at, 50_000) == 200
        assert await upload(at, 900_000) == 503, "there is no room for it"


async def test_what_apps_that_sleep_are_sent_is_bounded_and_nobodys_fault(at: Bench) -> None:
    """They have a part together: nobody knows yet whose it is."""
    at.waker.apps["dozing.localhost"] = at.waker.apps["hello.localhost"]
    at.waker.gate = asyncio.Event()
    dozing = Silent(at, "dozing")
    dozing.send(250, 900_000)
    await until(lambda: dozing.held < 250, 20, what="one too many is refused")
    await until(lambda: len(dozing.refused()) > 0, what="it is said")
    assert set(dozing.refused()) == {OVERLOADED}
    assert await upload(at, 900_000) == 200
    at.waker.gate.set()
    await asyncio.gather(*dozing.sent)
    assert set(dozing.refused()) == {OVERLOADED, (200, "")}, "those that waited are answered"


async def test_of_very_many_small_bodies_those_beyond_the_room_never_reach_the_app(at: Bench) -> None:
    async with silent(at, "small") as small:
        for _ in range(12):
            small.send(50, 60_000)
            await until(lambda: small.settled, 20, what="each is refused or at the app")
        most = ROOM * 3 / 4 / 120_000
        assert most <= small.held < most + 60  # those that had begun when the room was used
        assert set(small.refused()) == {FULL}
        assert small.seen == small.held, "what is refused the app has not seen"
        assert (await at.get()).status == 200
        assert await upload(at, 900_000) == 200


async def digests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An app that answers with the SHA-256 of a body of `LONG` bytes, however it comes, and slowly at first."""
    digest, left = hashlib.sha256(), LONG
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        while left:
            size = int(await reader.readline(), 16) if b"chunked" in head else left
            part = await reader.readexactly(size)
            digest.update(part)
            left -= size
            if b"chunked" in head:
                await reader.readexactly(2)
        body = digest.hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("limit", [0, 1])
async def test_a_long_body_is_at_the_app_as_it_was_sent(at: Bench, chunked: bool, limit: int) -> None:
    """Also where it waits in line before the app, of which nothing may be let go."""
    server = await asyncio.start_server(digests, "127.0.0.1", 0, limit=1 << 17)
    try:
        there = Endpoint("digests", "127.0.0.1", server.sockets[0].getsockname()[1])
        await at.edge.put(Route("digests", ("digests.localhost",), (there,), hard_limit=limit))
        answers = await asyncio.gather(*(send_long(at, number, chunked=chunked) for number in range(6)))
        assert [answer[0] for answer in answers] == [answer[1] for answer in answers]
    finally:
        server.close()


async def send_long(at: Bench, number: int, *, chunked: bool) -> tuple[str, str]:
    """Send a body of its own in pieces of all sizes; return its digest, and what the app says it is."""
    body = random.Random(number).randbytes(LONG)
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
    try:
        how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LONG}"
        writer.write(f"PUT / HTTP/1.1\r\nHost: digests.localhost\r\nConnection: close\r\n{how}\r\n\r\n".encode())
        at_byte, size = 0, 1000 + number
        while part := body[at_byte : at_byte + size]:
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
            at_byte, size = at_byte + size, size * 2 % 200_001 + 1
        writer.write(b"0\r\n\r\n" if chunked else b"")
        async with asyncio.timeout(30):
            answer = await reader.read(-1)
        return hashlib.sha256(body).hexdigest(), answer.partition(b"\r\n\r\n")[2].decode()
    finally:
        writer.close()
