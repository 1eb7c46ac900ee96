from __future__ import annotations

from tests.unit.factory import machine, service

from roost.model.machine import MachineState
from roost.plan.idle import who_sleeps


def test_a_quiet_machine_sleeps_after_its_idle_time() -> None:
    awake = machine(updated_at=1000.0)
    assert who_sleeps([awake], active=0, last_request_at=1000.0, now=1059.0).machines == ()
    nap = who_sleeps([awake], active=0, last_request_at=1000.0, now=1061.0)
    assert nap.machines == (awake,)
    assert nap.how == "suspend"
    assert "no request for 61 s" in nap.reason


def test_a_request_under_way_keeps_it_awake_however_old() -> None:
    nap = who_sleeps([machine()], active=1, last_request_at=0.0, now=1e9)
    assert nap.machines == ()
    assert "1 requests are under way" in nap.reason


def test_a_machine_that_just_started_has_its_whole_idle_time() -> None:
    assert who_sleeps([machine(updated_at=5000.0)], active=0, last_request_at=0.0, now=5001.0).machines == ()


def test_min_machines_running_keeps_the_oldest() -> None:
    old = machine(id="a" * 14, created_at=1.0, config=service(min_machines_running=1))
    new = machine(id="b" * 14, created_at=2.0, config=service(min_machines_running=1))
    assert who_sleeps([new, old], active=0, last_request_at=0.0, now=1e9).machines == (new,)


def test_off_never_sleeps_and_machines_that_sleep_are_left_alone() -> None:
    assert who_sleeps([machine(config=service(autostop="off"))], active=0, last_request_at=0, now=1e9).machines == ()
    asleep = machine(state=MachineState.SUSPENDED)
    assert who_sleeps([asleep], active=0, last_request_at=0, now=1e9).machines == ()


def test_stop_is_told_from_suspend() -> None:
    assert who_sleeps([machine(config=service(autostop="stop"))], active=0, last_request_at=0, now=1e9).how == "stop"


def test_a_machine_that_is_not_admitted_yet_stays_awake_and_keeps_nobody_awake() -> None:
    new = machine(id="b" * 14, cordoned=True, updated_at=1e9)
    old = machine(id="a" * 14)
    assert who_sleeps([new], active=0, last_request_at=0, now=2e9).machines == ()
    assert who_sleeps([old, new], active=0, last_request_at=0, now=1e9).machines == (old,)
