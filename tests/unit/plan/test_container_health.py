"""When a container counts as healthy, and when as ill."""

from __future__ import annotations

from roost.model.containers import Healthcheck
from roost.plan.container_health import EAGER_INTERVAL, Health

CHECK = Healthcheck("web", "tcp", 80, grace_period=5.0, success_threshold=2, failure_threshold=2)


def after(*results: tuple[float, bool]) -> Health:
    health = Health(0.0)
    for at, passing in results:
        health = health.observe(CHECK, passing, "", at)
    return health


def test_it_passes_after_so_many_successes_in_a_row() -> None:
    assert after((0, True)).status == "warning"
    assert after((0, True), (1, False), (2, True)).status == "warning"
    assert after((0, True), (1, True)).status == "passing"


def test_failures_count_after_the_grace_period_or_a_success() -> None:
    assert after((1, False), (2, False), (3, False)).status == "warning"
    assert after((1, False), (6, False)).status == "warning"
    assert after((6, False), (7, False)).status == "critical"
    assert after((0, True), (1, True), (2, False), (3, False)).status == "critical"
    assert after((0, True), (1, True), (2, False)).status == "passing"


def test_it_is_asked_often_while_others_wait_for_it() -> None:
    assert after().pause(CHECK, 1.0) == EAGER_INTERVAL
    assert after((1, True)).pause(CHECK, 6.0) == EAGER_INTERVAL
    assert after((1, True), (2, True)).pause(CHECK, 2.0) == CHECK.interval
    assert after((6, False)).pause(CHECK, 6.0) == CHECK.interval
