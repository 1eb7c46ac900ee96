"""Which threads count as wedged."""

from __future__ import annotations

from roost.edge.threads import LOOKS, STILL, Stillness, Thread

STEP = STILL / LOOKS


def told(*rows: list[Thread], step: float = STEP) -> list[str]:
    """Look at the rows, one after the other."""
    still = Stillness(("envoy", "wrk:"))
    return [still.look(row, number * step) for number, row in enumerate(rows)]


def worker(waits: int, state: str = "S", tid: int = 2) -> Thread:
    return Thread(tid, f"wrk:worker_{tid - 2}", state, waits)


def test_a_worker_that_sleeps_on_is_named_and_one_that_wakes_is_not() -> None:
    rows = [[worker(7), worker(number, tid=3)] for number in range(LOOKS + 2)]
    assert told(*rows) == ["", *[""] * (LOOKS - 1), "wrk:worker_0", "wrk:worker_0"]


def test_a_traced_thread_counts_as_asleep() -> None:
    assert told(*[[worker(7, "t")]] * (LOOKS + 1))[-1] == "wrk:worker_0"


def test_a_runnable_worker_is_waited_for_however_long() -> None:
    assert set(told(*[[worker(7, "R")]] * (LOOKS * 10))) == {""}


def test_while_a_thread_waits_for_a_disk_nobody_is_judged() -> None:
    disk = Thread(9, "AccessLogFlush", "D", 1)
    rows = [*[[worker(7), disk]] * (LOOKS * 3), *[[worker(7)]] * (LOOKS - 1)]
    assert set(told(*rows)) == {""}


def test_after_the_host_stood_still_a_thread_has_time_to_wake() -> None:
    assert told([worker(7)], [worker(7)], [worker(8)], step=STILL * 20) == ["", "", ""]


def test_other_threads_may_sleep() -> None:
    assert set(told(*[[Thread(1, "grpc_global_tim", "S", 1)]] * (LOOKS * 3))) == {""}
