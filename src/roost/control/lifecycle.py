"""One machine's life: every change of its state goes through here, under its lock.

State owned: none but timers of restarts under way; the rows are the store's. Each verb writes what is
desired before it acts and what was observed after it acted, so that a kill in between is put right by
`recover`, and asking twice ends the same. A machine leaves the edge before it stops answering.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from roost.control.containers import Containers, exit_event
from roost.control.core import Core, log
from roost.control.host_stops import HostStops
from roost.control.machine_rows import MachineRows
from roost.control.observing import Observer
from roost.control.secrets import Secrets
from roost.control.specs import Specs
from roost.host.contract import Observed, RuntimeState
from roost.model.containers import parts_of
from roost.model.errors import FailedPrecondition, HostFailure, RoostError, out_of_space
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.plan.containers import Turn, Whole
from roost.plan.recovery import Recovery, has_ended, recover
from roost.plan.restart import AfterExit, after_exit

_S = MachineState
_UP = (RuntimeState.RUNNING, RuntimeState.FROZEN)


class Lifecycle:
    """Changes of machines' states."""

    def __init__(self, core: Core, secrets: Secrets) -> None:
        self._core = core
        self._rows = MachineRows(core)
        self._specs = Specs(core, secrets)
        self._stops = HostStops(core)
        self.containers = Containers(core)
        self._observer: Observer | None = None

    def attach(self, observer: Observer) -> None:
        """Say who follows the changes."""
        self._observer = observer

    def bring_up(self, machine_id: str, *, source: str = "user") -> Machine:
        """Start, resume or leave running. Raises what the host raises; the machine is FAILED then."""
        with self._core.locks.holding(machine_id):
            machine = self._rows.present(machine_id)
            observed = self._core.host.observe(machine_id)
            if observed.state is RuntimeState.RUNNING and machine.state is _S.STARTED:
                return machine
            if observed.state in _UP:
                return self._resume(machine, observed, source)
            return self._start(machine, source)

    def admit(self, machine_id: str) -> None:
        """Let a machine get requests that was kept from them until it had proven healthy."""
        self.set_cordoned(machine_id, False)

    def set_cordoned(self, machine_id: str, cordoned: bool) -> Machine:
        """Say whether requests are kept from a machine. Its app's routes must be brought up to date after."""
        with self._core.locks.holding(machine_id):
            machine = self._rows.present(machine_id)
            return machine if machine.cordoned is cordoned else self._rows.save(replace(machine, cordoned=cordoned))

    def thaw(self, machine_id: str) -> bool:
        """Let a suspended machine run on at once; False when it does not run.

        The wake of a request is in a hurry: what happened is recorded by the `bring_up` that must follow. One
        that was thawed and could not be recorded, as the disk is full, serves all the same.
        """
        with self._core.locks.holding(machine_id):
            observed = self._core.host.observe(machine_id).state
            if observed is not RuntimeState.FROZEN:
                return observed is RuntimeState.RUNNING
            self._core.host.thaw(machine_id)
            self._core.fault("machine.resume.thawed")
            return True

    def _resume(self, machine: Machine, observed: Observed, source: str) -> Machine:
        if observed.state is RuntimeState.FROZEN:
            self._core.host.thaw(machine.id)
        several = bool(parts_of(machine.config))
        if not several or machine.state in (_S.SUSPENDED, _S.SUSPENDING):
            machine = self._rows.record(machine, _S.STARTED, "start", source, desired=_S.STARTED)
            self._up(machine, observed.pid)
        return self._go_on(machine, source) if several else machine

    def _start(self, machine: Machine, source: str) -> Machine:
        core = self._core
        if machine.state in (_S.STOPPING, _S.SUSPENDED, _S.SUSPENDING, _S.STARTED):
            machine = self._rows.record(machine, _S.STOPPED, "exit", "flyd", detail={"reason": "its process is gone"})
        if machine.state is not _S.STARTING:
            machine = self._rows.record(machine, _S.STARTING, "start", source, desired=_S.STARTED)
        core.fault("machine.start.recorded")
        try:
            spec = self._specs.of(machine)
            observed = core.host.start(spec)
        except Exception as error:
            raise self._cannot_start(machine, error) from error
        core.fault("machine.start.started")
        if spec.containers:
            return self._go_on(machine, "flyd")
        machine = self._rows.record(machine, _S.STARTED, "start", "flyd")
        self._up(machine, observed.pid)
        return machine

    def _cannot_start(self, machine: Machine, error: Exception) -> RoostError:
        """Undo a start that failed; return what to raise."""
        known = error if isinstance(error, RoostError) else out_of_space(error) or _unexpected(machine, error)
        with contextlib.suppress(RoostError):
            self._stops.clear(machine, restarting=True)
        self._rows.record(machine, _S.FAILED, "start", "flyd", desired=_S.STOPPED, detail={"error": known.message})
        self.containers.forget(machine)
        return known

    def _go_on(self, machine: Machine, source: str) -> Machine:
        """Let the containers of a machine that is up take their turn, and take over what it makes of the machine."""
        if machine.state not in (_S.STARTING, _S.STARTED):
            machine = self._rows.save(replace(machine, state=_S.STARTING, desired=_S.STARTED))
        try:
            turn = self.containers.take_turn(
                machine, lambda: self._specs.of(machine), lambda: self._look_again(machine.id)
            )
        except Exception as error:
            was_up = machine.state is not _S.STARTING
            known = self._cannot_start(machine, error)
            if was_up:
                self._down(machine)
            raise known from error
        if turn.machine in (Whole.STOPPED, Whole.FAILED):
            return self._all_ended(machine, turn)
        state = _S.STARTING if turn.machine is Whole.STARTING else _S.STARTED
        if state is machine.state:
            return machine
        machine = self._rows.record(machine, state, "start", source, desired=_S.STARTED)
        if state is _S.STARTED:
            self._up(machine, 0)
        return machine

    def _look_again(self, machine_id: str) -> None:
        try:
            self.exited(machine_id)
        except RoostError as error:
            log.warning("could not look at containers", machine=machine_id, error=error.message)

    def _all_ended(self, machine: Machine, turn: Turn) -> Machine:
        """None of its containers runs or will: the machine has ended with them."""
        ends = {one.name: one.last_exit for one in self._core.host.observe(machine.id).containers if one.last_exit}
        infos = [ends[name] for name in turn.decided if name in ends] or list(ends.values())
        info = max(infos, key=lambda one: one.at, default=ExitInfo(255, 0, False, False, self._core.now()))
        self._stops.ask(machine)
        failed = turn.machine is Whole.FAILED
        reason = turn.reason if failed else "all its containers have ended"
        detail: dict[str, object] = {"exit_event": exit_event(info, restarting=False), "reason": reason}
        machine = self._rows.record(
            machine,
            _S.FAILED if failed else _S.STOPPED,
            "exit",
            "flyd",
            desired=_S.STOPPED,
            last_exit=info,
            detail=detail,
        )
        self._down(machine)
        self.containers.forget(machine)
        if machine.config.auto_destroy:
            self.destroy(machine.id, source="flyd")
        return machine

    def suspend(self, machine_id: str, *, source: str = "user", only_if: Callable[[], bool] | None = None) -> Machine:
        """Freeze a started machine; `only_if` is asked at the last moment. Raises FailedPrecondition if it is down."""
        with self._core.locks.holding(machine_id):
            machine = self._rows.present(machine_id)
            if machine.state is _S.SUSPENDED or (only_if is not None and not only_if()):
                return machine
            if machine.config.schedule is not None:
                raise FailedPrecondition(
                    "failed_precondition: unable to suspend a machine with a schedule",
                    hint="stop it: it is started when it is due",
                )
            if machine.state is not _S.STARTED:
                raise FailedPrecondition(
                    f"failed_precondition: unable to suspend machine from current state: '{machine.state}'",
                    hint="only a started machine can be suspended",
                )
            machine = self._rows.record(machine, _S.SUSPENDING, "suspend", source, desired=_S.SUSPENDED)
            self._core.fault("machine.suspend.recorded")
            self._leave_edge(machine)
            if only_if is not None and not only_if():
                return self._rows.record(machine, _S.STARTED, "start", "proxy", desired=_S.STARTED)
            self._core.host.freeze(machine_id)
            if self._observer is not None:
                self._observer.fell_asleep(machine)
            self._core.fault("machine.suspend.frozen")
            return self._rows.record(machine, _S.SUSPENDED, "suspend", "flyd")

    def stop(
        self,
        machine_id: str,
        *,
        signal: str = "",
        timeout: float | None = None,
        source: str = "user",
        reason: str = "",
        restarting: bool = False,
        only_if: Callable[[], bool] | None = None,
    ) -> Machine:
        """Stop it and release all it has on the host but its log; `reason` is told in its events.

        `restarting` says that it will be started at once: its writable root stays if it was asked to.
        """
        with self._core.locks.holding(machine_id):
            machine = self._rows.present(machine_id)
            if only_if is not None and not only_if():
                return machine
            if machine.state in (_S.STOPPED, _S.CREATED, _S.FAILED):
                return (
                    machine if machine.desired is _S.STOPPED else self._rows.save(replace(machine, desired=_S.STOPPED))
                )
            if machine.state is not _S.STOPPING:
                detail: dict[str, object] = {"reason": reason} if reason else {}
                machine = self._rows.record(machine, _S.STOPPING, "stop", source, desired=_S.STOPPED, detail=detail)
            self._core.fault("machine.stop.recorded")
            self._leave_edge(machine)
            if only_if is not None and not only_if():
                self._rows.save(replace(machine, state=_S.STARTED, desired=_S.STARTED))
                return self._rows.present(machine_id)
            observed = self._stops.ask(machine, signal, timeout, restarting=restarting)
            self.containers.forget(machine)
            self._core.fault("machine.stop.stopped")
            info = _requested(observed.last_exit)
            ended: dict[str, object] = {"exit_event": exit_event(info, restarting=restarting)} if info else {}
            machine = self._rows.record(machine, _S.STOPPED, "exit", "flyd", last_exit=info, restarts=0, detail=ended)
            self._down(machine)
            return machine

    def destroy(self, machine_id: str, *, source: str = "user") -> None:
        """Remove it from the edge, the host and the store. Its log stays until the app goes."""
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.find(machine_id)
            if machine is None:
                return
            was_up = machine.state in (_S.STARTED, _S.STARTING)
            if machine.state is not _S.DESTROYING:
                machine = self._rows.record(machine, _S.DESTROYING, "destroy", source, desired=_S.DESTROYED)
            self._core.fault("machine.destroy.recorded")
            if was_up:
                self._leave_edge(machine)
                self._stops.ask(machine)
                self.containers.forget(machine)
            self._core.host.destroy(machine_id)
            self._core.fault("machine.destroy.destroyed")
            self._core.store.events.add(self._rows.event(machine, "destroy", "destroyed", "flyd", {}), machine.app)
            self._core.store.machines.remove(machine_id, self._core.now())
            self._core.changes.notify(f"machine:{machine_id}")
            self._down(machine)

    def exited(self, machine_id: str) -> None:
        """Look whether its process has ended, and do what its restart policy says. Harmless when it runs."""
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.find(machine_id)
            if machine is None or machine.state not in (_S.STARTED, _S.STARTING, _S.SUSPENDED, _S.SUSPENDING):
                return
            observed = self._core.host.observe(machine_id)
            if observed.state is RuntimeState.RUNNING and parts_of(machine.config):
                if machine.state in (_S.STARTING, _S.STARTED):
                    self._go_on(machine, "flyd")
                return
            if observed.state in _UP or (machine.state is _S.STARTING and parts_of(machine.config)):
                return
            self._after_exit(machine, observed)

    def end_container(self, machine_id: str, container: str) -> None:
        """End a container that is unhealthy; its restart policy decides on."""
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.find(machine_id)
            if machine is None or machine.state not in (_S.STARTING, _S.STARTED):
                return
            self._core.host.stop_container(machine_id, container)
            self._go_on(machine, "flyd")

    def _after_exit(self, machine: Machine, observed: Observed) -> None:
        core = self._core
        info = observed.last_exit or ExitInfo(255, 0, False, False, core.now())
        ran_for = info.at - (observed.started_at or machine.updated_at)
        decision = after_exit(machine.config.restart, info, restarts=machine.restarts, ran_for=ran_for)
        again = decision.action is AfterExit.RESTART
        self._stops.clear(machine, restarting=again)
        machine = self._rows.record(
            machine,
            _S.FAILED if decision.action is AfterExit.FAIL else _S.STOPPED,
            "exit",
            "flyd",
            desired=_S.STARTED if again else _S.STOPPED,
            last_exit=info,
            restarts=decision.restarts,
            detail={
                "exit_event": exit_event(info, restarting=again),
                "restart_count": decision.restarts,
                "reason": decision.reason,
            },
        )
        self._down(machine)
        if again and self._observer is not None:
            self._observer.later(decision.delay, lambda: self._restart_due(machine.id))
        elif machine.config.auto_destroy:
            self.destroy(machine.id, source="flyd")

    def _restart_due(self, machine_id: str) -> None:
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.find(machine_id)
            if machine is None or machine.state is not _S.STOPPED or machine.desired is not _S.STARTED:
                return
            try:
                self._start(machine, "flyd")
            except RoostError as error:
                log.warning("restart failed", machine=machine_id, error=error.message)

    def recover(self, machine_id: str) -> None:
        """Bring one machine back in line after roostd or the host was away.

        It is looked at under its lock: a request may have brought it up since roostd began.
        """
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.find(machine_id)
            if machine is None:
                return
            observed = self._core.host.observe(machine_id)
            step = recover(
                machine,
                running=observed.state is RuntimeState.RUNNING,
                frozen=observed.state is RuntimeState.FROZEN,
                present=observed.state is not RuntimeState.ABSENT,
                ended=has_ended(machine, observed.last_exit),
            )
            if step is not Recovery.NONE:
                log.info(
                    "recovering", machine=machine.id, step=step.value, state=machine.state, desired=machine.desired
                )
            self._carry_out(step, machine, observed)

    def _carry_out(self, step: Recovery, machine: Machine, observed: Observed) -> None:
        match step:
            case Recovery.ADOPT if parts_of(machine.config):
                self._go_on(machine, "flyd")
            case Recovery.ADOPT:
                if machine.state is not _S.STARTED or machine.desired is not _S.STARTED:
                    machine = self._rows.save(replace(machine, state=_S.STARTED, desired=_S.STARTED))
                self._up(machine, observed.pid)
            case Recovery.THAW:
                self._resume(machine, observed, "flyd")
            case Recovery.KEEP_FROZEN:
                self._rows.save(replace(machine, state=_S.SUSPENDED))
            case Recovery.START:
                self._stops.clear(machine, restarting=True)
                self._start(self._rows.save(replace(machine, state=_S.STOPPED)), "flyd")
            case Recovery.STOP:
                self._rows.save(replace(machine, state=_S.STOPPING))
                self.stop(machine.id, source="flyd")
            case Recovery.EXITED:
                self._after_exit(machine, observed)
            case Recovery.INTERRUPTED:
                self._stops.clear(machine, restarting=False)
                why: dict[str, object] = {"reason": "its process is gone, and nobody saw how it ended"}
                self._rows.record(machine, _S.STOPPED, "exit", "flyd", desired=_S.STOPPED, detail=why)
            case Recovery.MARK_STOPPED:
                self._stops.clear(machine, restarting=False)
                self._rows.save(replace(machine, state=_S.STOPPED, desired=_S.STOPPED))
            case Recovery.DESTROY:
                self.destroy(machine.id, source="flyd")
            case Recovery.NONE:
                pass

    def _up(self, machine: Machine, pid: int) -> None:
        if self._observer is not None:
            self._observer.came_up(machine, pid)

    def _leave_edge(self, machine: Machine) -> None:
        if self._observer is not None:
            self._observer.going_down(machine)

    def _down(self, machine: Machine) -> None:
        if self._observer is not None:
            self._observer.went_down(machine)


def _requested(info: ExitInfo | None) -> ExitInfo | None:
    return replace(info, requested_stop=True) if info else None


def _unexpected(machine: Machine, error: Exception) -> HostFailure:
    log.exception("a start failed", machine=machine.id)
    return HostFailure(
        f"machine {machine.id} could not be started: {type(error).__name__}",
        hint="this is a defect of Roost: HOME/log/roostd.log on the server has the details",
    )
