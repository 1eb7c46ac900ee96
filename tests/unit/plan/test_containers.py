"""Which container starts next, and what the machine's state is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.factory import exited

from roost.model.containers import Container, Dependency
from roost.model.process_config import Restart
from roost.plan.containers import ContainerState, Seen, Start, Turn, Whole, next_turn

ON_FAILURE = Restart()
INIT = Container("init")
APP = Container("app", depends_on=(Dependency("init", "exited_successfully"),))
NOW = 1000.0
RUNS = Seen(running=True, started_at=900.0)


def turn(*containers: Container, healthy: tuple[str, ...] = (), now: float = NOW, **seen: Seen) -> Turn:
    return next_turn(containers, seen, healthy=healthy, default=ON_FAILURE, now=now)


def ended(code: int = 0, restarts: int = 0, started_at: float = 990.0) -> Seen:
    return Seen(False, started_at, exited(code, at=NOW), restarts)


def test_all_that_wait_for_nobody_start_at_once() -> None:
    plan = turn(Container("a"), Container("b"))
    assert plan.start == (Start("a"), Start("b"))
    assert plan.machine is Whole.STARTING


def test_one_that_waits_for_an_end_starts_after_it_and_only_then_is_the_machine_started() -> None:
    assert turn(INIT, APP).start == (Start("init"),)
    assert turn(INIT, APP, init=RUNS).start == ()
    assert turn(INIT, APP, init=RUNS).machine is Whole.STARTING
    assert turn(INIT, APP, init=ended()).start == (Start("app"),)
    assert turn(INIT, APP, init=ended(), app=RUNS).machine is Whole.STARTED


def test_an_end_without_success_is_tried_again_and_then_fails_the_machine() -> None:
    assert turn(INIT, APP, init=ended(1)).states["init"] is ContainerState.RESTARTING
    once = replace(INIT, restart=Restart("no"))
    plan = turn(once, APP, init=ended(3))
    assert plan.machine is Whole.FAILED
    assert plan.reason == "container init exited with code 3"
    assert plan.states["app"] is ContainerState.BLOCKED


def test_healthy_is_waited_for() -> None:
    app = Container("app", depends_on=(Dependency("db", "healthy"),))
    assert turn(Container("db"), app, db=RUNS).start == ()
    assert turn(Container("db"), app, db=RUNS, healthy=("db",)).start == (Start("app"),)
    gone = turn(Container("db", restart=Restart("no")), app, db=ended(1), healthy=("db",))
    assert gone.machine is Whole.FAILED


def test_a_restart_waits_for_its_pause_and_not_for_what_it_needed_at_first() -> None:
    app = Container("app", depends_on=(Dependency("db", "healthy"),))
    plan = turn(Container("db"), app, db=RUNS, app=ended(1, restarts=2))
    assert plan.start == ()
    assert plan.look_at == NOW + 1.0
    assert plan.machine is Whole.STARTED
    later = turn(Container("db"), app, db=RUNS, app=ended(1, restarts=2), now=NOW + 1.0)
    assert later.start == (Start("app", 3),)


def test_one_that_was_ended_as_unhealthy_has_not_succeeded() -> None:
    assert turn(INIT, init=replace(ended(0), unhealthy=True)).states["init"] is ContainerState.RESTARTING
    assert turn(INIT, init=ended(0)).states["init"] is ContainerState.STOPPED


def test_the_machine_stops_when_the_last_one_has_ended_by_its_policy() -> None:
    assert turn(Container("a"), Container("b"), a=ended(), b=RUNS).machine is Whole.STARTED
    assert turn(Container("a"), Container("b"), a=ended(), b=ended()).machine is Whole.STOPPED
    failed = turn(Container("a"), Container("b"), a=ended(1, restarts=10), b=ended())
    assert failed.machine is Whole.FAILED
    assert failed.decided == ("a",)


CONDITIONS = ("started", "healthy", "exited_successfully")


@st.composite
def machines(draw: st.DrawFn) -> tuple[Container, ...]:
    made: list[Container] = []
    for number in range(draw(st.integers(1, 6))):
        needs = draw(st.lists(st.sampled_from(made), unique_by=lambda one: one.name, max_size=3)) if made else []
        made.append(
            Container(
                f"c{number}",
                restart=Restart(draw(st.sampled_from(("no", "on-failure"))), draw(st.integers(0, 2))),
                depends_on=tuple(Dependency(one.name, draw(st.sampled_from(CONDITIONS))) for one in needs),
            )
        )
    return tuple(draw(st.permutations(made)))


@settings(deadline=None)
@given(machines(), st.data())
def test_whatever_ends_none_starts_too_early_and_the_machine_ends(
    containers: tuple[Container, ...], data: st.DataObject
) -> None:
    """A world in which everything that runs ends at some time: with any code, in any order."""
    seen: dict[str, Seen] = {}
    healthy: set[str] = set()
    by_name = {one.name: one for one in containers}
    now = NOW
    for _ in range(200):
        plan = next_turn(containers, seen, healthy=healthy, default=ON_FAILURE, now=now)
        assert set(plan.states) == set(by_name)
        if plan.machine in (Whole.STOPPED, Whole.FAILED):
            assert not plan.start
            return
        for start in plan.start:
            here = seen.get(start.name)
            assert here is None or not here.running
            for need in by_name[start.name].depends_on if here is None else ():
                other = seen[need.name]
                if need.condition == "healthy":
                    assert other.running and need.name in healthy
                if need.condition == "exited_successfully":
                    assert other.exit is not None and other.exit.exit_code == 0
            seen[start.name] = Seen(True, now, None, start.restarts)
        running = sorted(name for name, here in seen.items() if here.running)
        if running:
            name = data.draw(st.sampled_from(running))
            if name not in healthy and data.draw(st.booleans()):
                healthy.add(name)
            else:
                code = data.draw(st.sampled_from((0, 0, 1)))
                seen[name] = replace(seen[name], running=False, exit=exited(code, at=now))
                healthy.discard(name)
        elif not plan.start:
            assert plan.look_at is not None and plan.look_at > now, "nothing runs, and nothing is going to"
            now = plan.look_at
    raise AssertionError("the machine never ended")
