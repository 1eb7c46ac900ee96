"""Changing what a machine is: a new version of its configuration, and metadata.

State owned: none; the update under way is a row of the store. Order: the new version is written down, the
machine stops, the new version takes the old one's place, the machine starts, the row goes. Killed
anywhere, `resume` goes on from what the rows say. A new version that can't be started gives way to the old
one, which runs again if it ran. All of it happens under the machine's lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roost.control.container_images import image_for, with_images
from roost.control.core import Core, log
from roost.control.lifecycle import Lifecycle
from roost.control.network_policies import NetworkPolicies
from roost.control.public_ports import claim_ports
from roost.model.app import Event
from roost.model.errors import BadInput, Conflict, FailedPrecondition, RoostError
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.machine_version import MachineVersion, Update
from roost.plan.metadata import edited
from roost.plan.mounts import with_kept_volumes
from roost.plan.schedule import next_run
from roost.plan.standbys import check_standbys

_S = MachineState
_UP = (_S.STARTED, _S.STARTING)
SAME_TIME = 0.001  # seconds: times on the wire have milliseconds


class Updating:
    """New versions of machines, and their metadata."""

    def __init__(self, core: Core, lifecycle: Lifecycle, policies: NetworkPolicies) -> None:
        self._core = core
        self._policies = policies
        self._lifecycle = lifecycle

    def update(
        self,
        app: str,
        machine_id: str,
        config: MachineConfig,
        *,
        name: str = "",
        region: str = "",
        current_version: str = "",
        skip_launch: bool = False,
    ) -> Machine:
        """Give a machine a new configuration. It runs afterwards if it ran or had failed, and unless `skip_launch`.

        Raises Conflict when its version is not `current_version`, BadInput for another name, region or volume.
        """
        core = self._core
        self._check(core.store.machines.get(app, machine_id), name, region, current_version)
        if config.standbys:
            check_standbys(config, {m.id for m in core.store.machines.list(app)} - {machine_id}, app)
        image = image_for(core, app, config.image)
        pinned = with_images(core, app, config)
        with core.locks.holding(machine_id):
            machine = core.store.machines.get(app, machine_id)
            if machine.state is _S.DESTROYING:
                raise FailedPrecondition("failed_precondition: the machine is being destroyed")
            self._check(machine, name, region, current_version)
            config = with_kept_volumes(machine.config, pinned)
            version = MachineVersion(core.new_ulid(), image.digest, config)
            ran = machine.state in _UP or (machine.state is _S.STOPPED and machine.desired is _S.STARTED)
            claim_ports(core, app, config.services)
            waits = config.standbys and not machine.config.standbys
            tried = machine.state is _S.FAILED and config.schedule is None and not config.standbys
            launch = not skip_launch and not waits and (ran or tried)
            core.store.versions.begin(Update(machine_id, version, machine.instance_id, launch, revive=ran))
            core.fault("machine.update.recorded")
            return self._carry_out(machine_id)

    def resume(self, machine_id: str) -> bool:
        """Go on with the update that a kill interrupted; False when there is none."""
        with self._core.locks.holding(machine_id):
            if self._core.store.versions.under_way(machine_id) is None:
                return False
            log.info("going on with an update", machine=machine_id)
            self._carry_out(machine_id)
            return True

    def _carry_out(self, machine_id: str) -> Machine:
        core = self._core
        update = core.store.versions.under_way(machine_id)
        machine = core.store.machines.find(machine_id)
        if update is None or machine is None:
            raise RuntimeError("there is no update to carry out")
        if machine.instance_id != update.version.instance_id:
            try:
                machine = self._lifecycle.stop(machine_id, restarting=True)
            except RoostError:
                core.store.versions.end(machine_id)
                raise
            core.fault("machine.update.stopped")
            machine = self._take_on(machine, update.version, "user")
            core.fault("machine.update.replaced")
        if update.launch:
            try:
                machine = self._lifecycle.bring_up(machine_id)
            except RoostError as error:
                self._put_back(machine_id, update, error)
                raise
            core.fault("machine.update.started")
        core.store.versions.end(machine_id)
        core.changes.notify(f"machine:{machine_id}")
        return machine

    def remake(self, machine_id: str, config: MachineConfig, *, image_digest: str, release: int) -> Machine:
        """Stop it and give it a release's image and configuration, to be started by `bring_up`; it keeps its volume.

        It gets no requests until `admit`. Its lock keeps a request from waking it in between. It is a deploy's, which
        goes on by itself after a kill: there is no row of an update under way.
        """
        core = self._core
        with core.locks.holding(machine_id):
            machine = self._lifecycle.stop(machine_id, source="flyd", restarting=True)
            core.fault("machine.remake.stopped")
            claim_ports(core, machine.app, config.services)
            version = MachineVersion(core.new_ulid(), image_digest, config)
            cordoned = config.schedule is None
            machine = self._take_on(replace(machine, release=release, cordoned=cordoned), version, "flyd")
            core.changes.notify(f"machine:{machine_id}")
            return machine

    def _take_on(self, machine: Machine, version: MachineVersion, source: str) -> Machine:
        """Let a machine that is stopped be a new version of itself; the one it was is kept."""
        told: dict[str, object] = {"instance_id": version.instance_id, "previous": machine.instance_id}
        event = self._event(machine, "replaced", told, source)
        now = self._core.now()
        machine = replace(machine, updated_at=now, next_run_at=next_run(version.config, now, before=machine))
        machine = self._core.store.versions.take_on(machine, version, event)
        self._core.changes.notify("schedules")
        return machine

    def _put_back(self, machine_id: str, update: Update, why: RoostError) -> None:
        """Give the machine the version it had, and let it run if it ran."""
        core = self._core
        machine = core.store.machines.find(machine_id)
        before = next((v for v in core.store.versions.list(machine_id) if v.instance_id == update.previous), None)
        if machine is None or before is None:
            return
        if update.revive:  # so that a kill before it runs again is put right by the recovery
            machine = replace(machine, state=_S.STOPPED, desired=_S.STARTED)
        machine = replace(machine, next_run_at=next_run(before.config, core.now(), before=machine))
        told: dict[str, object] = {"instance_id": update.previous, "error": why.message}
        core.store.versions.put_back(machine, before, self._event(machine, "rolled_back", told))
        core.changes.notify(f"machine:{machine_id}")
        core.fault("machine.update.put_back")
        if update.revive:
            try:
                self._lifecycle.bring_up(machine_id)
            except RoostError as error:
                log.warning("the version before can't be started", machine=machine_id, error=error.message)

    @staticmethod
    def _check(machine: Machine, name: str, region: str, current_version: str) -> None:
        if current_version and current_version != machine.instance_id:
            raise Conflict(
                f"machine {machine.id} has version {machine.instance_id}, not {current_version[:40]!r}",
                hint="it was changed meanwhile: look at it again, then decide",
            )
        for word, asked, has in (("name", name, machine.name), ("region", region, machine.region)):
            if asked and asked != has:
                raise BadInput(
                    f"{word}: a machine's {word} can't be changed; it is {has!r}",
                    hint="leave it out, or make another machine",
                )

    def versions(self, app: str, machine_id: str) -> list[MachineVersion]:
        """Return the machine's versions, newest first."""
        machine = self._core.store.machines.get(app, machine_id)
        current = MachineVersion(machine.instance_id, machine.image_digest, machine.config)
        return [current, *(v for v in self._core.store.versions.list(machine_id) if v != current)]

    def edit_metadata(
        self,
        app: str,
        machine_id: str,
        changes: Mapping[str, str | None],
        *,
        version: str = "",
        unchanged_since: float | None = None,
    ) -> Machine:
        """Set and (None or "") remove metadata: no new version, no restart.

        Raises FailedPrecondition when the machine's version is not `version`, or it changed after `unchanged_since`.
        """
        with self._core.locks.holding(machine_id):
            machine = self._core.store.machines.get(app, machine_id)
            if version and version != machine.instance_id:
                raise FailedPrecondition(
                    f"failed_precondition: the machine has version {machine.instance_id}, not {version[:40]!r}",
                    hint="it was updated meanwhile: look at it again, then decide",
                )
            if unchanged_since is not None and abs(machine.updated_at - unchanged_since) > SAME_TIME:
                raise FailedPrecondition(
                    "failed_precondition: the machine was changed after updated_at",
                    hint="look at it again, then decide",
                )
            metadata = edited(machine.config.metadata, changes)
            if metadata == machine.config.metadata:
                return machine
            machine = replace(machine, config=replace(machine.config, metadata=metadata), updated_at=self._core.now())
            self._core.store.machines.save(machine)
            self._policies.enforce_on(machine)
            return machine

    def _event(self, machine: Machine, status: str, detail: dict[str, object], source: str = "user") -> Event:
        core = self._core
        return Event(core.new_ulid(), machine.id, "update", status, source, detail, core.now())
