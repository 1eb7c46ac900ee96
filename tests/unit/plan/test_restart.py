from __future__ import annotations

from tests.unit.factory import exited

from roost.model.machine_config import Restart
from roost.plan.restart import LONGEST_DELAY, AfterExit, after_exit


def test_back_off_doubles_up_to_a_bound_and_ends_in_failure() -> None:
    policy = Restart("on-failure", 10)
    delays = [after_exit(policy, exited(1), restarts=n, ran_for=1.0).delay for n in range(10)]
    assert delays[:3] == [0.25, 0.5, 1.0]
    assert delays == sorted(delays)
    assert max(delays) == LONGEST_DELAY
    last = after_exit(policy, exited(1), restarts=10, ran_for=1.0)
    assert last.action is AfterExit.FAIL
    assert "exited with code 1" in last.reason


def test_a_long_run_starts_the_count_anew() -> None:
    assert after_exit(Restart(), exited(1), restarts=10, ran_for=301.0).restarts == 1


def test_policies() -> None:
    assert after_exit(Restart("no"), exited(1), restarts=0, ran_for=1).action is AfterExit.STOP
    assert after_exit(Restart("on-failure"), exited(0), restarts=0, ran_for=1).action is AfterExit.STOP
    assert after_exit(Restart("always"), exited(0), restarts=0, ran_for=1).action is AfterExit.RESTART
    assert after_exit(Restart("on-failure"), exited(0, signal=9), restarts=0, ran_for=1).action is AfterExit.RESTART
    asked = exited(1, requested_stop=True)
    assert after_exit(Restart("always"), asked, restarts=0, ran_for=1).action is AfterExit.STOP
