"""What a row of check results means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.host.health import HealthResult, HealthState, HealthStatus, parse_listener
from roost.model.machine_config import Check

CHECK = Check(port=8080, interval=10, grace_period=5)
GOOD = HealthResult(True, "fine", True)
BAD = HealthResult(False, "refused", False)


def after(*results: tuple[float, HealthResult]) -> HealthState:
    state = HealthState.start(100.0)
    for at, result in results:
        state = state.observe(CHECK, result, 100.0 + at)
    return state


def test_one_success_passes() -> None:
    assert after((0.1, GOOD)).status is HealthStatus.PASSING


def test_failures_in_the_grace_period_are_warnings() -> None:
    assert after((0.1, BAD), (1, BAD), (4.9, BAD)).status is HealthStatus.WARNING


def test_failure_after_the_grace_period_is_critical() -> None:
    state = after((1, BAD), (5, BAD))
    assert (state.status, state.output) == (HealthStatus.CRITICAL, "refused")


def test_one_failure_of_a_healthy_machine_is_forgiven_two_are_not() -> None:
    assert after((1, GOOD), (11, BAD)).status is HealthStatus.PASSING
    assert after((1, GOOD), (11, BAD), (21, BAD)).status is HealthStatus.CRITICAL
    assert after((1, GOOD), (11, BAD), (21, GOOD), (31, BAD)).status is HealthStatus.PASSING


def test_a_grace_period_is_over_with_the_first_success() -> None:
    assert after((0.1, GOOD), (0.2, BAD), (0.3, BAD)).status is HealthStatus.CRITICAL


def test_checks_are_eager_until_the_first_success() -> None:
    assert HealthState.start(100.0).next_at(CHECK) == 100.0
    assert after((1, BAD)).next_at(CHECK) == 101.5
    assert after((1, GOOD)).next_at(CHECK) == 111.0
    assert after((1, GOOD), (2, BAD)).next_at(CHECK) == 102.5, "a second look at once: out within an interval"
    assert after((1, GOOD), (2, BAD), (3, BAD)).next_at(CHECK) == 113.0


def test_change_time_moves_only_with_the_status() -> None:
    assert after((1, GOOD), (11, GOOD)).changed_at == 101.0


@given(st.lists(st.booleans(), max_size=30))
def test_the_last_success_decides(results: list[bool]) -> None:
    state = after(*((10.0 + i, GOOD if ok else BAD) for i, ok in enumerate(results)))
    if results and results[-1]:
        assert state.status is HealthStatus.PASSING
    if len(results) >= 2 and not any(results[-2:]):
        assert state.status is HealthStatus.CRITICAL


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("0: 0100007F:1F90 00000000:0000 0A 0 0", (8080, True)),
        ("0: 00000000:1F90 00000000:0000 0A 0 0", (8080, False)),
        ("0: 0100007F:1F90 00000000:0000 01 0 0", (0, False)),
        ("0: 00000000000000000000000001000000:0050 0:0 0A 0", (80, True)),
        ("0: 0000000000000000FFFF00000100007F:0050 0:0 0A 0", (80, True)),
        ("0: 00000000000000000000000000000000:0050 0:0 0A 0", (80, False)),
        ("rubbish", (0, False)),
    ],
)
def test_listeners_are_read_from_proc(line: str, want: tuple[int, bool]) -> None:
    assert parse_listener(line) == want
