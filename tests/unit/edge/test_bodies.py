"""native/bodies.c under sanitizers: how much there may be of bodies, and whose."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

from roost.edge.bodies import TOO_MANY, TOO_MANY_OF_APP

CONTINUES, STOPS, DROPPED = 0, 1, 3
GOES_ON = (CONTINUES, "-")
ONE_TOO_MANY, TOO_MANY_FOR_APP = f"503 {TOO_MANY}", f"503 {TOO_MANY_OF_APP}"
ROOM = 8_000_000
PART = ROOM // 2  # of an app
KEPT, PASSING = 1 << 20, 128 << 10  # of a body at most
Said = tuple[int, str]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = ("replay_hook.c", "filters.c", "admission.c", "bodies.c", "clock.c", "texts.c")
    return sanitized.program(tmp_path_factory.mktemp("native"), "body_calls.c", *parts)


def told(program: Path, orders: Iterable[str], room: int = ROOM) -> list[Said]:
    """Give orders as body_calls.c knows them; return what was said to each."""
    lines = "".join(f"{order} -\n" if order.count(" ") == 1 else f"{order}\n" for order in orders)
    done = subprocess.run(
        [program, str(room)], input=lines, capture_output=True, text=True, timeout=60, check=False,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:4000]
    return [(int(line.partition(" ")[0]), line.partition(" ")[2]) for line in done.stdout.splitlines()]


def held(numbers: Iterable[int], app: str, size: int) -> list[str]:
    """Bodies that are whole at an app."""
    return [order for n in numbers for order in (f"new {n} {app}", f"part {n} {size}", f"last {n} 0")]


def weight(size: int) -> int:
    return min(size, KEPT) + min(size, PASSING)


def test_an_app_has_half_of_the_room_and_another_goes_on(program: Path) -> None:
    fits = PART // weight(900_000)
    said = told(program, [*held(range(fits + 1), "one", 900_000), *held([60], "two", 900_000)])
    assert set(said[: 3 * fits]) == {GOES_ON}
    new, part, _ = said[3 * fits : 3 * fits + 3]
    assert (new, part[0]) == (GOES_ON, DROPPED)
    assert said[-3:] == [GOES_ON] * 3


def test_what_is_refused_is_answered_in_its_turn_and_gives_its_room_to_the_next_at_once(program: Path) -> None:
    fits = PART // weight(900_000)
    first = held(range(fits), "one", 900_000)
    orders = [
        *first, "new 50 one", "new 51 one", "part 50 900000", "part 51 100000", "last 51 0", "turn 50",
        "part 50 1", "answer 50", "end 50",
    ]  # fmt: skip
    said = told(program, orders)[len(first) :]
    refused = TOO_MANY_FOR_APP
    assert said == [
        GOES_ON, GOES_ON, (DROPPED, "-"), GOES_ON, GOES_ON, (0, refused),
        (DROPPED, refused), (CONTINUES, refused), (0, refused),
    ]  # fmt: skip


def test_an_answer_that_comes_for_one_that_was_just_refused_is_not_passed_on(program: Path) -> None:
    """The app did not get all that came, and what comes later would follow a hole."""
    first = held(range(PART // weight(900_000)), "one", 900_000)
    said = told(program, [*first, "new 50 one", "part 50 900000", "answer 50", "turn 50", "part 50 5", "last 50 0"])
    assert said[len(first) + 1 :] == [
        (DROPPED, "-"), (STOPS, TOO_MANY_FOR_APP), (0, TOO_MANY_FOR_APP), *[(DROPPED, TOO_MANY_FOR_APP)] * 2
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "before", "after"), [(900_000, 3, 4), (3_000_000, 3, 3), (200_000, 12, 20)])
def test_what_is_on_its_way_counts_until_an_answer_and_what_is_kept_until_the_end(
    program: Path, size: int, before: int, after: int
) -> None:
    assert (before, after) == (PART // weight(size), PART // min(size, KEPT)), "the figures are right"
    waiting = held(range(before), "one", size)
    one_more = ["new 60 one", f"part 60 {size}"]
    assert told(program, [*waiting, *one_more])[-1][0] == DROPPED
    begun = held(range(after), "one", size)
    begun = [order for n in range(after) for order in (*begun[3 * n : 3 * n + 3], f"answer {n}")]
    room_for_it = (before + 1) * weight(size) <= PART
    assert told(program, [*begun, *one_more])[-1][0] == (CONTINUES if room_for_it else DROPPED)
    assert told(program, [*begun, "end 0", "end 1", *one_more])[-1] == GOES_ON


def test_all_apps_have_the_room_and_what_is_small_goes_on(program: Path) -> None:
    full = [order for n in range(7) for order in held([n], f"app-{n // 3}", 900_000)]
    small = held(range(20, 28), "app-4", 64 << 10)
    assert ROOM - weight(900_000) < 7 * weight(900_000) < ROOM < 7 * weight(900_000) + 7 * weight(64 << 10)
    said = told(program, [*full, *small, *held([50], "app-5", 100_000), "turn 50"])
    assert set(said[:-4]) == {GOES_ON}
    assert said[-4:] == [GOES_ON, (DROPPED, "-"), (DROPPED, "-"), (0, ONE_TOO_MANY)]


def test_an_app_with_very_many_small_ones_gets_no_new_one_and_has_not_seen_it(program: Path) -> None:
    room = 2_000_000
    fits = room * 3 // 4 // weight(60_000) + 1
    said = told(program, [*held(range(fits), "one", 60_000), "new 50 one", "part 50 10", "new 51 two"], room)
    assert set(said[: 3 * fits]) == {GOES_ON}
    assert said[3 * fits :] == [(STOPS, TOO_MANY_FOR_APP), (DROPPED, TOO_MANY_FOR_APP), GOES_ON]


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
        elif (order := data.draw(st.sampled_from(("part", "part", "part", "last", "answer", "turn", "end")))) == "end":
            orders.append(f"end {number}")
            there.discard(number)
        else:
            orders.append(f"{order} {number} {data.draw(st.sampled_from((0, 1000, 70_000, 500_000, 2_000_000)))}")
    orders += [f"end {number}" for number in there]
    fits = PART // weight(900_000)
    said = told(program, [*orders, *held(range(fits), "app-0", 900_000), "new 60 app-0", "part 60 900000"])
    assert set(said[-2 - 3 * fits : -2]) == {GOES_ON}, "there is as much room as at first"
    assert said[-1][0] == DROPPED, "and no more"
