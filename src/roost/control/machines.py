"""The verbs on machines: find the machine, check what is asked, let the lifecycle do it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from roost.control.capacity import require_room
from roost.control.container_images import image_for, with_images
from roost.control.contract import CheckStatus, ContainerStatus, Memory
from roost.control.core import Core
from roost.control.followers import Followers
from roost.control.lifecycle import Lifecycle
from roost.control.org_listing import with_destroyed
from roost.control.public_ports import claim_ports
from roost.control.volumes import Volumes
from roost.host.contract import Console, ExecResult, ProcessInfo, RuntimeState
from roost.model.app import Event
from roost.model.containers import parts_of
from roost.model.errors import BadInput, FailedPrecondition, NotFound, RoostError, TimedOut
from roost.model.listing import OrgListing
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MIN_MEMORY_MB, MachineConfig
from roost.model.public_ports import own_ports
from roost.model.run import Trigger
from roost.plan.addresses import MAX_SLOT, ipv4_of, ipv6_of
from roost.plan.schedule import begun, next_run
from roost.plan.standbys import check_standbys
from roost.store.machines import EVENTS_KEPT

_SHELLS = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash -l; else exec sh -l; fi")
_AT_REST = (MachineState.STOPPED, MachineState.SUSPENDED, MachineState.FAILED, MachineState.CREATED)


class Machines:
    """Machines of an app."""

    def __init__(self, core: Core, lifecycle: Lifecycle, followers: Followers, volumes: Volumes) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._readiness, self._routing = followers.readiness, followers.routing
        self._volumes = volumes
        self._adding = threading.Lock()

    def get(self, app: str, machine_id: str) -> Machine:
        """Return a machine; raises NotFound, also when it belongs to another app."""
        return self._core.store.machines.get(app, machine_id)

    def create(
        self,
        app: str,
        config: MachineConfig,
        *,
        name: str = "",
        region: str = "",
        skip_launch: bool = False,
        cordoned: bool = False,
    ) -> Machine:
        """Make a machine and, unless `skip_launch`, start it. One that can't start is not left behind."""
        self._core.store.apps.get(app)
        if config.standbys:
            check_standbys(config, {m.id for m in self._core.store.machines.list(app)}, app)
        skip_launch = skip_launch or bool(config.standbys)
        self._volumes.resolve(app, config)
        image = image_for(self._core, app, config.image)
        config = with_images(self._core, app, config)
        machine = self.add(
            app, config, image_digest=image.digest, name=name, region=region, launch=not skip_launch, cordoned=cordoned
        )
        if skip_launch:
            self._open_ports(machine)
            return machine
        try:
            machine = self._lifecycle.bring_up(machine.id)
            self._open_ports(machine)
            return machine
        except RoostError:
            self._lifecycle.destroy(machine.id)
            raise

    def _open_ports(self, machine: Machine) -> None:
        """Have the edge serve what it serves of an app also before it listens: ports of its own, and HTTP/2."""
        services = machine.config.services
        http2 = any(port.http.h2_backend for service in services for port in service.ports)
        if http2 or any(own_ports(services)):
            self._core.on_loop(self._routing.sync(machine.app))

    def add(
        self,
        app: str,
        config: MachineConfig,
        *,
        image_digest: str,
        name: str = "",
        region: str = "",
        release: int = 0,
        group: str = "app",
        launch: bool = True,
        cordoned: bool = False,
        urgent: bool = False,
    ) -> Machine:
        """Add the row of a machine, with a slot of its own. `launch` says whether it is meant to run.

        A `cordoned` one gets no requests until `Lifecycle.admit`. Raises InsufficientCapacity; an `urgent` one
        may use what the pool keeps in reserve. Raises NotFound or FailedPrecondition for a volume it can't have.
        """
        core, now = self._core, self._core.now()
        if not urgent:
            require_room(core.host, "another machine")
        state = MachineState.STARTING if launch else MachineState.CREATED
        claim_ports(core, app, config.services)
        with self._adding:
            config = self._volumes.resolve(app, config)
            slot = core.store.machines.free_slot(MAX_SLOT)
            machine_id = core.new_machine_id()
            machine = Machine(
                id=machine_id,
                app=app,
                name=name or f"{group}-{machine_id[:6]}",
                state=state,
                desired=MachineState.STARTED if launch else MachineState.STOPPED,
                config=config,
                instance_id=core.new_ulid(),
                region=region or core.region,
                image_digest=image_digest,
                release=release,
                process_group=group,
                slot=slot,
                private_ip=str(ipv6_of(core.cloud, slot)),
                private_ipv4=str(ipv4_of(core.cloud, slot)),
                cordoned=cordoned,
                restarts=0,
                last_exit=None,
                created_at=now,
                updated_at=now,
                next_run_at=next_run(config, now),
            )
            event = Event(core.new_ulid(), machine_id, "launch", state.value, "user", {}, now)
            run = begun(machine, core.new_ulid(), Trigger.CREATE, now) if launch and config.schedule else None
            core.store.machines.add(machine, event, run)
        if config.schedule or config.standbys:
            core.changes.notify("schedules")
            core.changes.notify("standbys")
        core.fault("machine.create.added")
        return machine

    def start(self, app: str, machine_id: str) -> tuple[Machine, MachineState]:
        """Start or resume it; returns it and the state it was in."""
        before = self.get(app, machine_id).state
        return self._lifecycle.bring_up(machine_id), before

    def stop(self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None) -> Machine:
        """Stop it: `signal` ("": the configured one), then kill after `timeout` seconds (None: as configured)."""
        self.get(app, machine_id)
        return self._lifecycle.stop(machine_id, signal=signal, timeout=timeout)

    def restart(
        self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None, force: bool = False
    ) -> Machine:
        """Stop and start it; `force` kills at once."""
        self.get(app, machine_id)
        with self._core.locks.holding(machine_id):
            if force:
                self._lifecycle.stop(machine_id, signal="SIGKILL", timeout=0, restarting=True)
            else:
                self._lifecycle.stop(machine_id, signal=signal, timeout=timeout, restarting=True)
            return self._lifecycle.bring_up(machine_id)

    def suspend(self, app: str, machine_id: str) -> Machine:
        """Freeze it: memory stays, processor time is zero."""
        self.get(app, machine_id)
        return self._lifecycle.suspend(machine_id)

    def signal(self, app: str, machine_id: str, signal: str) -> None:
        """Send a signal (a name like SIGHUP) to its main process."""
        self._started(app, machine_id)
        self._core.host.signal(machine_id, signal)

    def destroy(self, app: str, machine_id: str, *, force: bool) -> None:
        """Remove it; without `force` raises FailedPrecondition while it runs."""
        machine = self.get(app, machine_id)
        if not force and machine.state not in _AT_REST:
            raise FailedPrecondition(
                "failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created",
                hint="stop it first, or add --force",
            )
        self._lifecycle.destroy(machine_id)

    def execute(
        self,
        app: str,
        machine_id: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        container: str = "",
    ) -> ExecResult:
        """Run a command in a started machine; raises TimedOut after `timeout` seconds."""
        container = self._lifecycle.containers.choose(self._started(app, machine_id), container)
        return self._core.host.execute(machine_id, tuple(argv), stdin=stdin, timeout=timeout, container=container)

    def console(
        self, app: str, machine_id: str, argv: Sequence[str], *, rows: int, columns: int, container: str = ""
    ) -> Console:
        """Run a command with a terminal; an empty `argv` means the best shell the image has."""
        container = self._lifecycle.containers.choose(self._started(app, machine_id), container)
        return self._core.host.console(
            machine_id, tuple(argv) or _SHELLS, rows=rows, columns=columns, container=container
        )

    def containers(self, machine: Machine) -> Sequence[ContainerStatus]:
        """Return how each of its containers is; nothing for a machine that is a single program."""
        return () if machine.state is MachineState.DESTROYED else self._lifecycle.containers.statuses(machine)

    def events(self, app: str, machine_id: str, limit: int) -> Sequence[Event]:
        """Return the latest events, newest first."""
        self.get(app, machine_id)
        return self._core.store.events.list(machine_id, limit)

    def histories(self, machine_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[Event]]:
        """Return the latest events of many machines at once, each one's newest first; a machine may be missing."""
        return self._core.store.events.of_machines(machine_ids, limit)

    def current_checks(self, machine_ids: Sequence[str]) -> Mapping[str, Sequence[CheckStatus]]:
        """Return the latest results of the health checks of many machines at once."""
        return {machine_id: self._readiness.checks(machine_id) for machine_id in machine_ids}

    def set_cordoned(self, app: str, machine_id: str, cordoned: bool) -> Machine:
        """Keep requests from it, or no longer, without stopping it; returns when the edge does so."""
        self.get(app, machine_id)
        machine = self._lifecycle.set_cordoned(machine_id, cordoned)
        self._core.on_loop(self._routing.sync(app))
        return machine

    def processes(self, app: str, machine_id: str) -> Sequence[ProcessInfo]:
        """Return what runs in it; raises FailedPrecondition when it doesn't run."""
        self.get(app, machine_id)
        return self._core.host.processes(machine_id)

    def memory(self, app: str, machine_id: str) -> Memory:
        """Return how much memory it may use now, and how much of it is left."""
        guest = self.get(app, machine_id).config.guest
        most = max(guest.memory_mb, guest.max_memory_mb) << 20
        limit = min(self._core.host.memory_limit(machine_id) or most, most)
        left = max(0, limit - self._core.host.usage(machine_id).memory_bytes)
        return Memory(limit >> 20, left >> 20)

    def set_memory(self, app: str, machine_id: str, limit_mb: int) -> Memory:
        """Let it use so much memory until its next start, at most its memory_mb or max_memory_mb."""
        guest = self.get(app, machine_id).config.guest
        configured = max(guest.memory_mb, guest.max_memory_mb)
        if not MIN_MEMORY_MB <= limit_mb <= configured:
            raise BadInput(
                f"limit_mb must be from {MIN_MEMORY_MB} to {configured}, what the machine is configured for",
                hint="for more, update the machine's config.guest.memory_mb or max_memory_mb",
            )
        with self._core.locks.holding(machine_id):
            self._core.host.set_memory_limit(machine_id, limit_mb << 20)
        return self.memory(app, machine_id)

    def reclaim_memory(self, app: str, machine_id: str, amount_mb: int) -> int:
        """Take memory from it that it can do without (caches), at most so much; returns how much that was, in MiB."""
        self.get(app, machine_id)
        with self._core.locks.holding(machine_id):
            return self._core.host.reclaim_memory(machine_id, amount_mb << 20) >> 20

    def of_org(self, asked: OrgListing) -> Sequence[Machine]:
        """Return an org's machines that are asked for, in the order of their last change."""
        store = self._core.store
        found = store.machines.of_org(asked)
        return with_destroyed(found, lambda: store.destroyed_machines.of_org(asked), asked)

    async def wait(
        self,
        app: str,
        machine_id: str,
        *,
        states: frozenset[str],
        instance_id: str = "",
        after_event: str = "",
        timeout: float = 60.0,
    ) -> Machine:
        """Return once it is in one of `states`; raises TimedOut after `timeout` seconds."""
        deadline = self._core.now() + timeout
        gone = self._core.store.destroyed_machines.find(machine_id) if "destroyed" in states else None
        if gone is not None and gone.app == app:
            return gone
        last = self.get(app, machine_id)
        with self._core.changes.watching(f"machine:{machine_id}") as news:
            while True:
                found = self._core.store.machines.find(machine_id)
                if found is None:
                    if "destroyed" in states:
                        return replace(last, state=MachineState.DESTROYED)
                    raise NotFound("machine not found", hint="it was destroyed meanwhile")
                last = found
                if instance_id and found.instance_id != instance_id:
                    raise FailedPrecondition(
                        f"failed_precondition: machine {machine_id} has version {found.instance_id}, not {instance_id}",
                        hint="it was updated meanwhile: wait for the new version",
                    )
                passed = self._state_after(found, after_event, states)
                if passed is not None:
                    return passed
                left = deadline - self._core.now()
                if left <= 0:
                    wanted = ", ".join(sorted(states))
                    raise TimedOut(
                        f"deadline_exceeded: machine failed to reach desired state, {wanted}, currently {found.state}",
                        hint=f"see why: roost logs -a {app} --machine {machine_id}",
                    )
                await news(min(left, 1.0))

    def _state_after(self, machine: Machine, event_id: str, states: frozenset[str]) -> Machine | None:
        """Return the machine as it was when it was in one of the states, now or after an event; None: it was not."""
        wanted = states | {str(s) for s in (MachineState.STARTED, *_AT_REST) if "settled" in states}
        if not event_id:
            return machine if machine.state.value in wanted else None
        for event in reversed(self._core.store.events.list(machine.id, EVENTS_KEPT)):
            if event.id > event_id and event.status in wanted:
                return replace(machine, state=MachineState(event.status))
        return None

    def checks(self, app: str, machine_id: str) -> Sequence[CheckStatus]:
        """Return the latest result of each of its health checks."""
        self.get(app, machine_id)
        return self._readiness.checks(machine_id)

    def _started(self, app: str, machine_id: str) -> Machine:
        machine = self.get(app, machine_id)
        if machine.state is MachineState.SUSPENDED:
            return self._lifecycle.bring_up(machine_id)
        if machine.state is MachineState.STARTING and parts_of(machine.config):
            return machine  # some of its containers run
        if machine.state is not MachineState.STARTED:
            raise FailedPrecondition(
                f"failed_precondition: machine {machine_id} is {machine.state}, not started",
                hint=f"start it: roost machine start {machine_id} -a {app}",
            )
        if self._core.host.observe(machine_id).state is not RuntimeState.RUNNING:
            return self._lifecycle.bring_up(machine_id)  # roostd has just come back and has not got to it yet
        return machine

    def list(self, app: str) -> list[Machine]:
        """Return the machines that are not destroyed, oldest first."""
        self._core.store.apps.get(app)
        return self._core.store.machines.list(app)

    def destroyed(self, app: str) -> Sequence[Machine]:
        """Return the machines that were destroyed lately, as they were, the longest gone first."""
        self._core.store.apps.get(app)
        return self._core.store.destroyed_machines.list(app)
