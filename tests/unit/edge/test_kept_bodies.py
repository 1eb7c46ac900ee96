"""native/kept.c under sanitizers: how much there may be of bodies, and whose, and what Envoy lets go of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

from roost.edge.bodies import NOT_REPLAYED, TOO_MANY, TOO_MANY_OF_APP

CONTINUES, STOPS, DROPPED = 0, 1, 3
ONE_TOO_MANY, TOO_MANY_FOR_APP = f"503 {TOO_MANY}", f"503 {TOO_MANY_OF_APP}"
ROOM = 8_000_000
PART = ROOM // 2  # of an app
KEPT, PASSING = 1 << 20, 128 << 10  # of a body at most


class Said(NamedTuple):
    """What was said to an order, how much Envoy keeps of that request then, and what it was answered."""

    said: int
    kept: int
    answer: str = "-"

    @property
    def goes_on(self) -> bool:
        return (self.said, self.answer) == (CONTINUES, "-")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = ("kept.c", "replay_hook.c", "filters.c", "admission.c", "bodies.c", "clock.c", "texts.c")
    return sanitized.program(tmp_path_factory.mktemp("native"), "kept_calls.c", *parts)


def told(program: Path, orders: Iterable[str], room: int = ROOM) -> list[Said]:
    """Give orders as kept_calls.c knows them, and end all requests; return what was said to each of the orders."""
    given = list(orders)
    there = {order.split()[1] for order in given} - {order.split()[1] for order in given if order.startswith("end")}
    lines = [f"{order} -" if order.count(" ") == 1 else order for order in (*given, *(f"end {n}" for n in there))]
    done = subprocess.run(
        [program, str(room)], input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[:4000]
    words = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return [Said(int(said), int(kept), answer) for said, kept, answer in words][: len(given)]


def held(numbers: Iterable[int], app: str, size: int) -> list[str]:
    """Bodies that are whole at an app."""
    return [order for n in numbers for order in (f"new {n} {app}", f"part {n} {size}", f"last {n} 0")]


def weight(size: int) -> int:
    return size + min(size, PASSING)


FITS = PART // weight(900_000)
FULL = held(range(FITS), "one", 900_000)


def test_an_app_has_half_of_the_room_and_another_goes_on(program: Path) -> None:
    said = told(program, [*FULL, *held([50], "one", 900_000), *held([60], "two", 900_000)])
    assert all(each.goes_on for each in said[: len(FULL) + 1])
    assert said[len(FULL) + 1] == (DROPPED, 0, TOO_MANY_FOR_APP)
    assert all(each.goes_on for each in said[-3:])


def test_what_is_refused_is_so_for_good_and_gives_its_room_to_the_next_at_once(program: Path) -> None:
    first, *others = "part 50 900000", "part 50 1", "last 50 0", "answer 50"
    said = told(program, [*FULL, "new 50 one", "new 51 one", first, "part 51 100000", "last 51 0", *others])[
        len(FULL) :
    ]
    assert [each.goes_on for each in said[:5]] == [True, True, False, True, True]
    assert [each.said for each in said[5:]] == [DROPPED, DROPPED, CONTINUES]
    assert {each.answer for each in said[5:]} == {TOO_MANY_FOR_APP}


def test_a_body_is_let_go_of_when_more_has_come_than_is_kept(program: Path) -> None:
    said = told(
        program, ["new 1 one", "part 1 1000000", "part 1 48576", "part 1 1", "part 1 9", "part 1 9", "last 1 0"]
    )
    assert [each.kept for each in said] == [0, 1_000_000, KEPT, KEPT, 0, 0, 0]
    assert all(each.goes_on for each in said)


def test_a_body_is_let_go_of_when_the_answer_begins(program: Path) -> None:
    said = told(program, ["new 1 one", "part 1 700000", "answer 1", "part 1 9"])
    assert [each.kept for each in said[:3]] == [0, 700_000, 0]


def test_long_ones_and_those_with_an_answer_leave_room(program: Path) -> None:
    long = [order for n in range(FITS) for order in (f"new {n} one", *[f"part {n} 600000"] * 3)]
    begun = [order for n in range(20, 40) for order in (*held([n], "one", 900_000), f"answer {n}")]
    assert PART - weight(900_000) > FITS * 2 * PASSING
    said = told(program, [*long, *begun, *held([60], "one", 900_000)])
    assert all(each.goes_on for each in said)


def test_all_apps_have_the_room_and_what_is_small_goes_on(program: Path) -> None:
    full = [order for n in range(7) for order in held([n], f"app-{n // 3}", 900_000)]
    small = held(range(20, 28), "app-4", 64 << 10)
    assert ROOM - weight(900_000) < 7 * weight(900_000) < ROOM < 7 * weight(900_000) + 7 * weight(64 << 10)
    said = told(program, [*full, *small, *held([50], "app-5", 100_000)])
    assert all(each.goes_on for each in said[:-2])
    assert said[-2] == (DROPPED, 0, ONE_TOO_MANY)


def test_an_app_with_very_many_small_ones_gets_no_new_one_and_has_not_seen_it(program: Path) -> None:
    room = 2_000_000
    fits = room * 3 // 4 // weight(60_000) + 1
    said = told(program, [*held(range(fits), "one", 60_000), "new 50 one", "part 50 10", "new 51 two"], room)
    assert all(each.goes_on for each in said[: 3 * fits])
    assert said[3 * fits :] == [(STOPS, 0, TOO_MANY_FOR_APP), (DROPPED, 0, TOO_MANY_FOR_APP), (CONTINUES, 0, "-")]


@pytest.mark.parametrize("header", ["fly-replay", "roost-replay", "content-type", "location"])
def test_a_replay_that_can_not_be_done_is_refused(program: Path, header: str) -> None:
    *_, said = told(program, ["new 1 one", "part 1 2000000", "part 1 9", f"answer 1 {header}"])
    assert said == (Said(CONTINUES, 0) if header == "location" else (STOPS, 0, f"502 {NOT_REPLAYED}"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_comes_when_all_are_gone_the_room_is_whole(program: Path, data: st.DataObject) -> None:
    there: set[int] = set()
    orders = []
    for _ in range(data.draw(st.integers(1, 80))):
        number = data.draw(st.integers(0, 20))
        if number not in there:
            orders.append(f"new {number} app-{data.draw(st.integers(0, 2))}")
            there.add(number)
        elif (order := data.draw(st.sampled_from(("part", "part", "part", "last", "answer", "end")))) == "end":
            orders.append(f"end {number}")
            there.discard(number)
        else:
            orders.append(f"{order} {number} {data.draw(st.sampled_from((0, 1000, 70_000, 500_000, 2_000_000)))}")
    orders += [f"end {number}" for number in there]
    said = told(program, [*orders, *held(range(40, 40 + FITS), "app-0", 900_000), "new 60 app-0", "part 60 900000"])
    assert all(each.goes_on for each in said[-2 - 3 * FITS : -1]), "there is as much room as at first"
    assert said[-1].said == DROPPED, "and no more"
