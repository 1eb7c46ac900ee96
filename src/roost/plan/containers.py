"""Which of a machine's containers to start now, and what the machine's state is: pure.

A container starts for the first time when what it waits for is as it wants; from then on only its restart
policy decides. A machine is started once every container that nobody waits for has been started, and has
ended when none runs and none will.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from roost.model.containers import Container, Dependency
from roost.model.machine import ExitInfo
from roost.model.process_config import Restart
from roost.plan.restart import AfterExit, Decision, after_exit


class ContainerState(StrEnum):
    """Where a container is in its life."""

    CREATED = "created"  # it waits for others
    STARTED = "started"
    RESTARTING = "restarting"  # it ended, and starts again after a pause
    STOPPED = "stopped"  # it ended, and that is all right with its policy
    FAILED = "failed"  # it keeps ending, and is given up
    BLOCKED = "blocked"  # it waits for one that has failed


class Whole(StrEnum):
    """What the machine is."""

    STARTING = "starting"
    STARTED = "started"
    STOPPED = "stopped"
    FAILED = "failed"


_C = ContainerState
_FINAL = (_C.STOPPED, _C.FAILED, _C.BLOCKED)


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as the host sees it. One that was never started isn't there at all."""

    running: bool
    started_at: float
    exit: ExitInfo | None = None
    restarts: int = 0
    unhealthy: bool = False  # it was ended for that: no success, whatever its exit code


@dataclass(frozen=True, slots=True)
class Start:
    """Start this container now; `restarts` is its count in the window afterwards."""

    name: str
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do next, and what is."""

    machine: Whole
    start: tuple[Start, ...]
    states: Mapping[str, ContainerState]
    look_at: float | None = None  # Unix time at which a restart is due
    reason: str = ""  # why it has failed
    decided: tuple[str, ...] = ()  # names of the containers whose failure decides


def next_turn(
    containers: Sequence[Container],
    seen: Mapping[str, Seen],
    *,
    healthy: Collection[str],
    default: Restart,
    now: float,
) -> Turn:
    """Decide from what the containers are asked to be, what is seen of them, and which are healthy now.

    `default` is the restart policy of containers that have none of their own.
    """
    states: dict[str, ContainerState] = {}
    start: list[Start] = []
    due: list[float] = []
    for one in _needed_first(containers):
        here = seen.get(one.name)
        if here is None:
            states[one.name] = _before_first_start(one, seen, states, healthy)
            if states[one.name] is _C.CREATED and all(_met(n, seen, states, healthy) for n in one.depends_on):
                start.append(Start(one.name))
            continue
        if here.running:
            states[one.name] = _C.STARTED
            continue
        decision = after_end(one, here, default)
        if decision.action is not AfterExit.RESTART:
            states[one.name] = _C.FAILED if decision.action is AfterExit.FAIL else _C.STOPPED
            continue
        states[one.name] = _C.RESTARTING
        at = (here.exit.at if here.exit else 0.0) + decision.delay
        if at <= now:
            start.append(Start(one.name, decision.restarts))
        else:
            due.append(at)
    machine, decided = _whole(containers, seen, states)
    reason = _reason(containers, seen, decided) if machine is Whole.FAILED else ""
    if machine in (Whole.FAILED, Whole.STOPPED):
        return Turn(machine, (), states, None, reason, decided)
    return Turn(machine, tuple(start), states, min(due, default=None))


def after_end(one: Container, here: Seen, default: Restart) -> Decision:
    """Decide what becomes of a container that has ended."""
    info = here.exit or ExitInfo(255, 0, False, False, here.started_at)
    if here.unhealthy:
        info = replace(info, exit_code=info.exit_code or 1, requested_stop=False)
    ran_for = info.at - here.started_at
    return after_exit(one.restart or default, info, restarts=here.restarts, ran_for=ran_for)


def awaited(containers: Sequence[Container]) -> set[str]:
    """Return the containers that others wait for."""
    return {need.name for one in containers for need in one.depends_on}


def _needed_first(containers: Sequence[Container]) -> list[Container]:
    """Order them so that what is waited for comes before who waits. They hold no circle."""
    left, ordered, placed = list(containers), list[Container](), set[str]()
    while left:
        ready = [one for one in left if all(need.name in placed for need in one.depends_on)] or left
        ordered += ready
        placed |= {one.name for one in ready}
        left = [one for one in left if one.name not in placed]
    return ordered


def _before_first_start(
    one: Container, seen: Mapping[str, Seen], states: Mapping[str, ContainerState], healthy: Collection[str]
) -> ContainerState:
    hopeless = any(not _met(need, seen, states, healthy) and _never(need, states) for need in one.depends_on)
    return _C.BLOCKED if hopeless else _C.CREATED


def _met(
    need: Dependency, seen: Mapping[str, Seen], states: Mapping[str, ContainerState], healthy: Collection[str]
) -> bool:
    here = seen.get(need.name)
    if here is None:
        return False
    if need.condition == "started":
        return True
    if need.condition == "healthy":
        return here.running and need.name in healthy
    return states.get(need.name) is _C.STOPPED and _succeeded(here)


def _succeeded(here: Seen) -> bool:
    return here.exit is not None and here.exit.exit_code == 0 and not here.exit.signal and not here.unhealthy


def _never(need: Dependency, states: Mapping[str, ContainerState]) -> bool:
    """Say whether a need that isn't met now never will be."""
    return states.get(need.name) in _FINAL


def _whole(
    containers: Sequence[Container], seen: Mapping[str, Seen], states: Mapping[str, ContainerState]
) -> tuple[Whole, tuple[str, ...]]:
    waited_for = awaited(containers)
    last = [one.name for one in containers if one.name not in waited_for]
    bad = tuple(one.name for one in containers if states[one.name] is _C.FAILED) or tuple(
        need.name
        for one in containers
        if states[one.name] is _C.BLOCKED
        for need in one.depends_on
        if states[need.name] in (_C.STOPPED, _C.FAILED)
    )
    if any(states[name] is _C.BLOCKED for name in last):  # it can't become what it was asked to be
        return Whole.FAILED, bad
    if all(state in _FINAL for state in states.values()):
        return (Whole.FAILED, bad) if bad else (Whole.STOPPED, ())
    return (Whole.STARTED if all(name in seen for name in last) else Whole.STARTING), ()


def _reason(containers: Sequence[Container], seen: Mapping[str, Seen], decided: Sequence[str]) -> str:
    for one in containers:
        if one.name in decided:
            info = seen[one.name].exit if one.name in seen else None
            return f"container {one.name} {info.describe() if info else 'ended'}"
    return "a container could not be started"
