"""Which threads count as wedged."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

from roost.edge.threads import CLOSE_LOOK, HABIT, LOOK, LOOKS, STILL, Stillness, Thread, Threads

STEP = STILL / LOOKS


def told(*rows: list[Thread], step: float = STEP, awake: int = HABIT) -> list[str]:
    """Look at the rows, one after the other, after these threads have woken `awake` times."""
    still = Stillness(("envoy", "wrk:"))
    for number in range(awake + 1):
        before = [replace(thread, state="S", waits=number - awake) for thread in rows[0]]
        assert still.look(before, (number - awake - 1) * step) == ""
    return [still.look(row, number * step) for number, row in enumerate(rows)]


def worker(waits: int, state: str = "S", tid: int = 2) -> Thread:
    return Thread(tid, f"wrk:worker_{tid - 2}", state, waits)


def test_a_worker_that_sleeps_on_is_named_and_one_that_wakes_is_not() -> None:
    rows = [[worker(7), worker(number, tid=3)] for number in range(LOOKS + 2)]
    assert told(*rows) == [*[""] * (LOOKS + 1), "wrk:worker_0"]


def test_a_traced_thread_counts_as_asleep() -> None:
    assert told(*[[worker(7, "t")]] * (LOOKS + 2))[-1] == "wrk:worker_0"


def test_a_runnable_worker_is_waited_for_however_long() -> None:
    assert set(told(*[[worker(7, "R")]] * (LOOKS * 10))) == {""}


def test_while_a_thread_waits_for_a_disk_nobody_is_judged() -> None:
    disk = Thread(9, "AccessLogFlush", "D", 1)
    rows = [*[[worker(7), disk]] * (LOOKS * 3), *[[worker(7)]] * LOOKS]
    assert set(told(*rows)) == {""}


def test_after_the_host_stood_still_a_thread_has_time_to_wake() -> None:
    assert told([worker(7)], [worker(7)], [worker(8)], step=STILL * 20) == ["", "", ""]


def test_other_threads_may_sleep() -> None:
    assert set(told(*[[Thread(1, "grpc_global_tim", "S", 1)]] * (LOOKS * 3))) == {""}


def test_a_thread_that_has_another_ones_name_may_sleep() -> None:
    rows = [[Thread(1, "envoy", "S", number), Thread(5, "envoy", "S", 1)] for number in range(LOOKS * 3)]
    assert set(told(*rows)) == {""}


def test_one_that_never_woke_often_is_not_judged() -> None:
    assert set(told(*[[worker(7)]] * (LOOKS * 3), awake=HABIT - 2)) == {""}


def test_a_thread_of_any_name_that_is_stopped_alone_is_named_and_one_that_is_traced_is_not() -> None:
    stopped = [[Thread(1, "haproxy", "S", 1), Thread(2, "haproxy", state, 1)] for state in "tT" * LOOKS]
    assert told(*stopped)[: LOOKS + 1] == [*[""] * LOOKS, "haproxy"]
    traced = [[Thread(2, "haproxy", "t", number)] for number in range(LOOKS * 3)]
    assert set(told(*traced)) == {""}
    by_turns = [[Thread(2, "haproxy", state, 1)] for state in "tS" * LOOKS * 2]
    assert set(told(*by_turns)) == {""}


def test_one_that_has_not_woken_is_doubted_until_it_does() -> None:
    still = Stillness(("wrk:",))
    for number in range(HABIT + 1):
        still.look([worker(number)], number * LOOK)
        assert not still.doubts
    still.look([worker(HABIT)], (HABIT + 1) * LOOK)
    assert still.doubts
    still.look([worker(HABIT + 1)], (HABIT + 1) * LOOK + CLOSE_LOOK)
    assert not still.doubts
    still.look([worker(HABIT + 2, "T")], (HABIT + 2) * LOOK)
    assert still.doubts, "it woke, to be stopped"
    still.look([], (HABIT + 3) * LOOK)
    assert not still.doubts


def test_one_that_may_sleep_is_not_doubted() -> None:
    still = Stillness(("wrk:",))
    for number in range(HABIT * 2):
        still.look([Thread(1, "grpc_global_tim", "S", 1), worker(1)], number * LOOK)
        assert not still.doubts


def test_at_the_pace_of_its_looks_a_wedged_thread_is_named_well_within_a_second() -> None:
    for hangs in (number / 100 for number in range(200, 221)):
        still, now = Stillness(("wrk:",)), 0.0
        while not (named := still.look([worker(int(min(now, hangs) * 10))], now)):
            now += CLOSE_LOOK if still.doubts else LOOK
            assert now < hangs + 0.9
        assert (named, now > hangs + STILL - 0.1) == ("wrk:worker_0", True)


def test_threads_are_read_as_they_come_and_go_and_nothing_is_left_open() -> None:
    opened = len(list(Path("/proc/self/fd").iterdir()))
    threads, leave = Threads(os.getpid()), threading.Event()
    for _ in range(3):  # a thread's number may come again
        other = threading.Thread(target=leave.wait)
        other.start()
        assert other.native_id in {one.tid for one in threads.look()}
        leave.set()
        other.join()
        deadline = time.monotonic() + 5
        while other.native_id in {one.tid for one in threads.look()}:
            assert time.monotonic() < deadline
        leave.clear()
    own = next(one for one in threads.look() if one.tid == os.getpid())
    time.sleep(0.001)
    assert next(one for one in threads.look() if one.tid == os.getpid()).waits > own.waits
    threads.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_a_process_that_has_ended_has_no_threads() -> None:
    with subprocess.Popen(["sleep", "60"]) as process, contextlib.closing(Threads(process.pid)) as threads:
        assert [one.tid for one in threads.look()] == [process.pid]
        process.kill()
        process.wait()
        assert threads.look() == []
