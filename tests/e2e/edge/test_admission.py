"""hard_limit at the edge: never more at once, first come first served, a bound and a deadline, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import Answer, Bench, bench, until

from roost.edge import admission
from roost.edge.machine_limits import SHORTEST_QUEUE

WAIT = 0.5


class Watched:
    """Sees how many requests the app has at once, and in which order they come."""

    def __init__(self, at: Bench) -> None:
        self.most = 0
        self.paths: list[str] = []
        answer = at.app.answer

        async def watched(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            self.most = max(self.most, at.app.active)
            self.paths.append(head.split(" ")[1])
            return await answer(head, reader, writer)

        at.app.answer = watched  # type: ignore[method-assign]


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


def begin(at: Bench, path: str, **more: str) -> asyncio.Task[Answer]:
    return asyncio.create_task(at.get(path, **more))


async def waiting(at: Bench, number: int) -> None:
    async def so_many() -> bool:
        await at.cell.measure()
        loads = await at.edge.loads()
        return loads is not None and loads["hello"].waiting == number

    await until(so_many, what=f"{number} wait")


async def test_no_more_at_once_and_first_come_first_served(at: Bench) -> None:
    seen = Watched(at)
    await at.edge.put(at.route(hard_limit=1))
    held = begin(at, "/hold")
    await until(lambda: at.app.active == 1, what="one is under way")
    line = []
    for number in range(6):
        line.append(begin(at, f"/{number}"))
        await waiting(at, number + 1)
    assert await at.edge.has_requests("hello")
    await asyncio.sleep(0.02)
    at.app.release.set()
    assert [answer.status for answer in await asyncio.gather(held, *line)] == [200] * 7
    assert (seen.most, seen.paths) == (1, ["/hold", *(f"/{number}" for number in range(6))])
    assert (await at.logged("/0")).queue > (await at.logged("/5")).queue > 20, "the wait is queue time"
    await waiting(at, 0)
    await at.edge.put(at.route(hard_limit=3))
    many = [begin(at, "/upload", method="POST", body=b"x" * 200_000) for _ in range(19)]  # type: ignore[arg-type]
    assert {(answer.status, answer.json()["size"]) for answer in await asyncio.gather(*many)} == {(200, "200000")}
    at.app.release.clear()
    holds = [begin(at, "/hold") for _ in range(8)]
    await waiting(at, 5)
    await until(lambda: at.app.active == 3, what="as many as may be are under way")
    at.app.release.set()
    assert {answer.status for answer in await asyncio.gather(*holds)} == {200}
    assert seen.most == 3, "no more at once, on all of Envoy's threads"


async def test_who_waits_too_long_or_finds_the_line_full_is_told_so(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "QUEUE_WAIT", 2 * WAIT)
    await at.edge.put(at.route(hard_limit=1))
    held = begin(at, "/hold")
    await until(lambda: at.app.active == 1, what="one is under way")
    late = begin(at, "/late", headers="Accept: text/html\r\n")
    await waiting(at, 1)
    others = [begin(at, "/other") for _ in range(SHORTEST_QUEUE - 1)]
    await waiting(at, SHORTEST_QUEUE)
    full = await at.get("/full")
    assert (full.status, full.headers["roost-error"], full.headers["retry-after"]) == (503, "app_at_hard_limit", "1")
    told = await late
    assert (told.status, told.headers["roost-error"], told.headers["roost-fault"], told.headers["fly-error"]) == (
        503, "app_queue_timeout", "app", "PR03",
    )  # fmt: skip
    assert b"hard_limit" in told.body
    assert {answer.status for answer in await asyncio.gather(*others)} == {503}
    logged = await at.logged("/late")
    assert (logged.error, logged.machine, logged.tries) == ("app_queue_timeout", "", 0)
    assert 2 * WAIT * 1000 <= logged.queue <= logged.total < 5 * WAIT * 1000
    assert (await at.logged("/full")).error == "app_at_hard_limit"
    assert at.app.requests == 1, "the app had none of them"
    at.app.release.set()
    assert (await held).status == 200
    assert (await at.get("/next")).status == 200


async def test_who_leaves_gives_his_place_to_the_next_and_a_higher_limit_lets_the_line_in(at: Bench) -> None:
    await at.edge.put(at.route(hard_limit=1))
    held = begin(at, "/hold")
    await until(lambda: at.app.active == 1, what="one is under way")
    leaves, stays = begin(at, "/leaves"), begin(at, "/stays")
    await waiting(at, 2)
    leaves.cancel()
    await waiting(at, 1)
    held.cancel()
    assert (await stays).status == 200
    seen = at.app.requests
    held = begin(at, "/hold")
    await until(lambda: at.app.requests > seen, what="one more is under way")
    more = begin(at, "/more")
    await waiting(at, 1)
    await at.edge.put(at.route(hard_limit=2))
    assert (await more).status == 200
    await at.edge.put(at.route())
    assert (await at.get("/free")).status == 200
    at.app.release.set()
    assert (await held).status == 200


async def test_a_woken_machine_gets_no_more_than_its_limit_from_roostd_and_envoy_together(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Watched(at)
    at.waker.hard_limit, at.waker.delay = 2, 0.1
    woke = [begin(at, "/hold") for _ in range(3)]
    await until(lambda: at.app.active == 2, what="as many as may be are under way")
    gone = begin(at, "/gone")
    await until(lambda: at.edge._shared.slots.held("hello") == 4, what="two wait")
    gone.cancel()
    await until(lambda: at.edge._shared.slots.held("hello") == 3, what="who leaves does not wait")
    monkeypatch.setattr(admission, "QUEUE_WAIT", WAIT)
    late = await at.get("/late")
    assert (late.status, late.headers["roost-error"]) == (503, "app_queue_timeout")
    logged = await at.logged("/late")
    assert (logged.error, logged.queue >= WAIT * 1000) == ("app_queue_timeout", True)
    monkeypatch.undo()
    await at.edge.put(at.route(hard_limit=2))
    straight = begin(at, "/straight")
    await waiting(at, 1)
    at.app.release.set()
    assert [answer.status for answer in await asyncio.gather(*woke, straight)] == [200] * 4
    assert (seen.most, sorted(seen.paths)) == (2, ["/hold", "/hold", "/hold", "/straight"])
    await until(lambda: not at.edge._shared.slots.held("hello"))
    at.app.release.clear()
    both = [begin(at, "/hold") for _ in range(2)]
    await until(lambda: at.app.active == 2, what="Envoy lets in as many as may be again")
    at.app.release.set()
    await asyncio.gather(*both)
