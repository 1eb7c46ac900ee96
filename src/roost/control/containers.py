"""The containers of a machine: starting what may start, restarting what ended, telling what happened.

State owned: in memory, which ends have been told of; the rest is the host's (what runs, with how many restarts)
and the store's (events). A turn looks, decides (`plan.containers`) and acts, under the machine's lock, and
may be taken at any time: killed anywhere, the next one goes on from what the host shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from roost.control.contract import ContainerStatus
from roost.control.core import Core
from roost.host.contract import MachineSpec, Observed, ObservedContainer, RuntimeState
from roost.model.app import Event
from roost.model.containers import Container, parts_of
from roost.model.errors import BadInput, NotFound
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.plan.containers import ContainerState, Seen, Turn, after_end, next_turn
from roost.plan.restart import AfterExit
from roost.store.machines import EVENTS_KEPT

_MAX_STARTS = 100  # in one turn


class Followers(Protocol):
    """Who watches the containers. Callable from any thread."""

    def containers_run(self, machine: Machine, running: Mapping[str, int]) -> None:
        """These containers (name -> pid) of the machine run now, and no others. Must not block."""

    def healthy(self, machine_id: str) -> set[str]:
        """Return the containers all of whose health checks pass."""

    def later(self, delay: float, work: Callable[[], object]) -> None:
        """Run `work` in a thread after `delay` seconds."""


class Containers:
    """Takes the turns of machines that have several containers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._followers: Followers | None = None
        self._told: dict[str, dict[str, float]] = {}  # machine -> container -> time of its latest end that is told of

    def attach(self, followers: Followers) -> None:
        """Say who watches."""
        self._followers = followers

    def take_turn(self, machine: Machine, spec: Callable[[], MachineSpec], again: Callable[[], object]) -> Turn:
        """Start what is due until nothing is, and say how the machine is; `again` is called when it's time to look.

        Raises what starting a container raises.
        """
        core, parts = self._core, parts_of(machine.config)
        resolved: MachineSpec | None = None
        for _ in range(_MAX_STARTS):
            observed = core.host.observe(machine.id)
            self._tell_of_ends(machine, parts, observed)
            turn = self._decide(machine, parts, observed)
            if not turn.start:
                break
            resolved = resolved or spec()
            for start in turn.start:
                core.fault("machine.container.start")
                core.host.start_container(resolved, start.name, restarts=start.restarts)
                core.fault("machine.container.started")
                self._event(machine, "start", {"container": start.name, "restart_count": start.restarts})
        if self._followers is not None:
            self._followers.containers_run(machine, {one.name: one.pid for one in observed.containers if one.pid})
            if turn.look_at is not None:
                self._followers.later(max(0.0, turn.look_at - core.now()), again)
        return turn

    def forget(self, machine: Machine) -> None:
        """It runs no more: watch nothing of it."""
        self._told.pop(machine.id, None)
        if self._followers is not None:
            self._followers.containers_run(machine, {})

    def statuses(self, machine: Machine) -> list[ContainerStatus]:
        """Return how each container is, in the order of the configuration."""
        parts = parts_of(machine.config)
        if not parts:
            return []
        observed = self._core.host.observe(machine.id)
        found = {one.name: one for one in observed.containers}
        up = observed.state in (RuntimeState.RUNNING, RuntimeState.FROZEN)
        rest = ContainerState.CREATED if machine.state is MachineState.CREATED else ContainerState.STOPPED
        states = self._decide(machine, parts, observed).states if up else {}
        out = []
        for one in parts:
            seen = found.get(one.name)
            out.append(
                ContainerStatus(
                    name=one.name,
                    state=str(states.get(one.name, rest)),
                    image=one.image or machine.config.image,
                    image_digest=one.image_digest or machine.image_digest,
                    restarts=seen.restarts if seen else 0,
                    started_at=seen.started_at if seen else 0.0,
                    last_exit=seen.last_exit if seen else None,
                )
            )
        return out

    def choose(self, machine: Machine, container: str) -> str:
        """Return the container that a command is for: the one named, or the first that runs; "" where there are none.

        Raises NotFound or BadInput.
        """
        names = [one.name for one in parts_of(machine.config)]
        if container and container not in names:
            if not names:
                raise BadInput(f"machine {machine.id} has no containers", hint="leave the container out")
            raise NotFound(
                f"machine {machine.id} has no container {container[:63]!r}", hint=f"it has {', '.join(names)}"
            )
        if container or not names:
            return container
        running = {one.name for one in self._core.host.observe(machine.id).containers if one.pid}
        return next((name for name in names if name in running), names[0])

    def _decide(self, machine: Machine, parts: Sequence[Container], observed: Observed) -> Turn:
        return next_turn(
            parts,
            {one.name: _seen(one) for one in observed.containers},
            healthy=self._followers.healthy(machine.id) if self._followers is not None else (),
            default=machine.config.restart,
            now=self._core.now(),
        )

    def _tell_of_ends(self, machine: Machine, parts: Sequence[Container], observed: Observed) -> None:
        """Record each end once, also when the one who recorded it was killed before it could go on."""
        by_name = {one.name: one for one in parts}
        told = self._told.setdefault(machine.id, {})
        for seen in observed.containers:
            info = seen.last_exit
            if seen.pid or info is None or seen.name not in by_name or told.get(seen.name) == info.at:
                continue
            if not self._is_told(machine.id, seen.name, info):
                decision = after_end(by_name[seen.name], _seen(seen), machine.config.restart)
                detail: dict[str, object] = {
                    "container": seen.name,
                    "exit_event": exit_event(info, restarting=decision.action is AfterExit.RESTART),
                    "restart_count": decision.restarts,
                    "reason": decision.reason.replace("the machine", f"container {seen.name}", 1)
                    + (" (it was ended as unhealthy)" if seen.unhealthy else ""),
                }
                self._event(machine, "exit", detail)
                self._core.fault("machine.container.told")
            told[seen.name] = info.at

    def _is_told(self, machine_id: str, name: str, info: ExitInfo) -> bool:
        for event in self._core.store.events.list(machine_id, EVENTS_KEPT):
            ended = event.detail.get("exit_event")
            if event.detail.get("container") == name and isinstance(ended, dict) and ended.get("exited_at") == info.at:
                return True
        return False

    def _event(self, machine: Machine, kind: str, detail: dict[str, object]) -> None:
        core = self._core
        event = Event(core.new_ulid(), machine.id, kind, machine.state.value, "flyd", detail, core.now())
        core.store.events.add(event, machine.app)
        core.changes.notify(f"machine:{machine.id}")


def exit_event(info: ExitInfo, *, restarting: bool) -> dict[str, object]:
    """Return how a program ended, as an event of the Fly Machines API tells it (pure)."""
    return {
        "exit_code": info.exit_code,
        "guest_signal": info.signal,
        "oom_killed": info.oom_killed,
        "requested_stop": info.requested_stop,
        "restarting": restarting,
        "exited_at": info.at,
    }


def _seen(one: ObservedContainer) -> Seen:
    return Seen(one.pid > 0, one.started_at, one.last_exit, one.restarts, one.unhealthy)
