"""Carries a rollout out: `plan.rollout` says the next step, this does it and looks again."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from roost.control.container_images import with_images
from roost.control.core import Core
from roost.control.errands import Errands, tell_while
from roost.control.lifecycle import Lifecycle
from roost.control.machines import Machines
from roost.control.operations import Job
from roost.control.readiness import Readiness
from roost.control.routing import Routing
from roost.control.updating import Updating
from roost.control.volumes import Volumes
from roost.model.app import Release
from roost.model.app_config_read import machine_configs
from roost.model.autoscale import MADE, MADE_KEY, AutoscalePolicy
from roost.model.errors import RoostError, TimedOut, Unprocessable
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.names import RESERVED_GROUPS
from roost.plan.rollout import Bring, Remake, Retire, rollout_step, wanted_counts

AT_REST = frozenset({"created", "stopped", "failed"})
QUIET = 3.0  # seconds a new machine may take before its log is shown


class Rollout:
    """Brings an app's machines to a release."""

    def __init__(
        self,
        core: Core,
        machines: Machines,
        lifecycle: Lifecycle,
        readiness: Readiness,
        routing: Routing,
        volumes: Volumes,
        errands: Errands,
        updating: Updating,
    ) -> None:
        self._errands = errands
        self._updating = updating
        self._volumes = volumes
        self._core = core
        self._machines = machines
        self._lifecycle = lifecycle
        self._readiness = readiness
        self._routing = routing

    def to(self, release: Release, job: Job) -> None:
        """Roll out; raises Unprocessable, with the last log lines, when a new machine does not become healthy.

        A new machine gets no request before it is healthy, however early it listens.
        """
        configs = self._configs(release)
        machines = self._of(release.app)
        if "wanted" not in job.result:
            job.keep(wanted=wanted_counts(machines, configs, self._empty(release)))
        if "autoscaled" not in job.result:
            job.keep(autoscaled=_autoscaled(machines, autoscale_policies(release)))
        recorded = job.result["wanted"]
        wanted = {group: int(recorded[group]) for group in configs} if isinstance(recorded, dict) else {}
        known_healthy: set[str] = set()
        together = release.config.deploy.strategy == "bluegreen"
        while True:
            job.check()
            for machine in self._of(release.app):
                if machine.release == release.version and machine.id not in known_healthy:
                    self._make_healthy(machine, release, job, admit=not together)
                    known_healthy.add(machine.id)
            step = rollout_step(self._of(release.app), wanted, release.version, _in_place(configs), all_first=together)
            if together and not isinstance(step, Bring):
                self._admit(release, known_healthy)
            match step:
                case None:
                    return
                case Remake(machine_id, group):
                    self._core.fault("machine.remake.begin")
                    if configs[group].schedule:
                        self._let_run_end(machine_id, release, job)
                        job.report(f"machine {machine_id} ({group}) runs as the new release from its next time on")
                    else:
                        job.report(
                            f"machine {machine_id} ({group}) has a volume: it stops, and starts as the new release"
                        )
                    self._remake(machine_id, release, configs[group])
                case Bring(group):
                    config = self._volumes.provide(release.app, configs[group], job.report, release.config.backups)
                    config = self._as_before(config, release, group, job, wanted[group])
                    machine = self._add(release, group, config, cordoned=True)
                    job.report(f"machine {machine.id} ({group})")
                case Retire(machine_id):
                    self._core.fault("deploy.rollout.retire")
                    job.report(f"machine {machine_id} goes")
                    self._lifecycle.destroy(machine_id, source="flyd")

    def _empty(self, release: Release) -> set[str]:
        """Return the groups that may go without machines: scaled to 0 by hand, or autoscaled from 0, then as now."""
        told, kept = autoscale_policies(release), set(self._core.store.empty_groups.of(release.app))
        for now in self._core.store.autoscale.policies(release.app):
            then = told.get(now.group) or (now.policy if now.origin == "api" else None)
            if now.policy is not None and then is not None and now.policy.min == then.min == 0:
                kept.add(now.group)
        return kept

    def counts(self, release: Release) -> dict[str, int]:
        """Return how many machines each process group of a release has."""
        machines = self._of(release.app)
        return {group: sum(m.process_group == group for m in machines) for group in self._configs(release)}

    def scale(self, release: Release, group: str, count: int, job: Job, *, undoing: bool = False) -> None:
        """Bring a group to so many machines: new ones get requests once they are healthy, the newest go first.

        Raises Unprocessable when a new one does not become healthy. `undoing` makes none.
        """
        config, begun, known = self._configs(release)[group], job.operation.created_at, set[str]()
        while True:
            machines = [m for m in self._of(release.app) if m.process_group == group]
            if len(machines) > count:
                goes = max(machines, key=lambda m: (m.cordoned, MADE_KEY in m.config.metadata, m.created_at, m.id))
                job.report(f"machine {goes.id} ({group}) goes")
                self._lifecycle.destroy(goes.id, source="flyd")
                continue
            if undoing:
                return
            job.check()
            for machine in machines:
                if machine.cordoned and machine.created_at >= begun and machine.id not in known:
                    self._make_healthy(machine, release, job)
                    known.add(machine.id)
            if len(machines) == count:
                return
            provided = self._volumes.provide(release.app, config, job.report, release.config.backups)
            made = self._add(release, group, provided, cordoned=True)
            job.report(f"machine {made.id} ({group})")

    def add_clone(self, release: Release, group: str, *, mark: str) -> Machine:
        """Add a machine like the others of a group, with autoscaling's mark; it gets no requests until admitted."""
        return self._add(release, group, _marked(self._configs(release)[group], mark), cordoned=True)

    def _as_before(self, config: MachineConfig, release: Release, group: str, job: Job, wanted: int) -> MachineConfig:
        """Mark a new machine as autoscaling's when as many others as were not are there already."""
        recorded = job.result.get("autoscaled")
        made = int(recorded.get(group, 0)) if isinstance(recorded, dict) else 0
        new = [m for m in self._of(release.app) if m.process_group == group and m.release == release.version]
        others = sum(MADE_KEY not in m.config.metadata for m in new)
        return _marked(config, MADE) if made and others >= wanted - made else config

    def back_to(self, release: Release, job: Job) -> None:
        """Bring back an earlier release, without asking whether it is healthy."""
        configs = self._configs(release)
        recorded = job.result.get("wanted")
        counts = (
            recorded
            if isinstance(recorded, dict)
            else wanted_counts(self._of(release.app), configs, self._empty(release))
        )
        wanted = {group: int(counts.get(group, 1)) for group in configs}
        in_place = _in_place(configs)
        while (step := rollout_step(self._of(release.app), wanted, release.version, in_place)) is not None:
            match step:
                case Retire(machine_id):
                    self._lifecycle.destroy(machine_id, source="flyd")
                case Remake(machine_id, group):
                    self._remake(machine_id, release, configs[group])
                case Bring(group):
                    config = self._volumes.provide(release.app, configs[group], job.report, release.config.backups)
                    config = self._as_before(config, release, group, job, wanted[group])
                    machine = self._add(release, group, config, urgent=True)
                    if config.schedule is None:
                        self._lifecycle.bring_up(machine.id, source="flyd")
        self._bring_back(release)

    def _bring_back(self, release: Release) -> None:
        """Start the machines that were remade as what they had been; each is tried, whatever the others do."""
        failure: RoostError | None = None
        for machine in self._of(release.app):
            if machine.release != release.version or not machine.cordoned:
                continue
            try:
                self._lifecycle.bring_up(machine.id, source="flyd")
            except RoostError as error:
                failure = error
            self._lifecycle.admit(machine.id)
        self._core.on_loop(self._routing.sync(release.app))
        if failure is not None:
            raise failure

    def _remake(self, machine_id: str, release: Release, config: MachineConfig) -> None:
        """Let a machine be of `release`, with the volume it has; one that is to have another one makes room for it."""
        held = {mount.name: mount.volume for mount in self._machines.get(release.app, machine_id).config.mounts}
        mounts = tuple(replace(m, volume=held.get(m.name, ""), size_gb=0) for m in config.mounts)
        if {mount.volume for mount in mounts} != set(held.values()):
            self._lifecycle.destroy(machine_id, source="flyd")
            return
        config = with_images(self._core, release.app, replace(config, mounts=mounts))
        self._updating.remake(machine_id, config, image_digest=release.image_digest, release=release.version)
        self._core.fault("machine.remake.made")

    def remove(self, app: str, version: int) -> None:
        """Remove all machines of a release."""
        for machine in self._core.store.machines.list(app):
            if machine.release == version:
                self._lifecycle.destroy(machine.id, source="flyd")

    def _admit(self, release: Release, machines: Iterable[str]) -> None:
        """Let those of the machines that get no requests yet get some, all at once."""
        waiting = [m.id for m in self._of(release.app) if m.id in set(machines) and m.cordoned]
        for machine_id in waiting:
            self._lifecycle.admit(machine_id)
        if waiting:
            self._core.fault("deploy.rollout.admitted")
            self._core.on_loop(self._routing.sync(release.app))

    def _make_healthy(self, machine: Machine, release: Release, job: Job, *, admit: bool = True) -> None:
        """Wait until a machine is healthy and passes its machine checks; raises Unprocessable.

        With the strategy "immediate" it only has to start.
        """
        self._core.fault("deploy.rollout.bring")
        if machine.config.schedule is not None:
            job.report(f"machine {machine.id} waits for its time")
            return
        timeout = release.config.deploy.wait_timeout
        try:
            if machine.state is not MachineState.STARTED:
                machine = self._lifecycle.bring_up(machine.id, source="flyd")
            if release.config.deploy.strategy == "immediate":
                self._admit(release, [machine.id])
                return
            problem = tell_while(
                self._core,
                self._readiness.until_healthy(machine, timeout, cancelled=job.cancelled.is_set),
                machine.id,
                job,
                quiet=QUIET,
                waits_for=lambda: self._readiness.lacks(machine.id),
            )
        except RoostError as error:
            raise Unprocessable(
                f"release v{release.version} could not start: {error.message}", hint=error.hint
            ) from error
        job.check()
        if problem is not None:
            raise Unprocessable(
                f"release v{release.version} did not become healthy: {problem.message}", hint=problem.hint
            )
        self._errands.machine_checks(job, release, machine, self._configs(release))
        if admit:
            self._admit(release, [machine.id])
        job.report(f"machine {machine.id} is healthy")

    def _let_run_end(self, machine_id: str, release: Release, job: Job) -> None:
        """Wait until a scheduled machine rests, as long as a machine may take to become healthy."""

        async def at_rest() -> None:
            with contextlib.suppress(TimedOut):
                await self._machines.wait(
                    release.app, machine_id, states=AT_REST, timeout=release.config.deploy.wait_timeout
                )

        if self._machines.get(release.app, machine_id).state not in AT_REST:
            job.report(f"machine {machine_id} is left to end its run first")
            tell_while(self._core, at_rest(), machine_id, job, quiet=QUIET)

    def _add(
        self, release: Release, group: str, config: MachineConfig, *, cordoned: bool = False, urgent: bool = False
    ) -> Machine:
        return self._machines.add(
            release.app,
            with_images(self._core, release.app, config),
            image_digest=release.image_digest,
            release=release.version,
            group=group,
            launch=config.schedule is None,
            cordoned=cordoned and config.schedule is None,
            urgent=urgent,
        )

    def _of(self, app: str) -> list[Machine]:
        """Return the app's machines that releases made, oldest first."""
        return [m for m in self._core.store.machines.list(app) if m.release and m.process_group not in RESERVED_GROUPS]

    def _configs(self, release: Release) -> dict[str, MachineConfig]:
        image = release.image_reference or release.image_digest
        return machine_configs(release.config, image=image, plan_processes=release.processes, release=release.version)


def _marked(config: MachineConfig, mark: str) -> MachineConfig:
    return replace(config, metadata={**config.metadata, MADE_KEY: mark})


def _autoscaled(machines: Sequence[Machine], policies: Mapping[str, AutoscalePolicy]) -> dict[str, int]:
    """Return how many machines of each group count as made by autoscaling.

    The first one of a group that may have none does: nobody asked for it, so it may go.
    """
    first = {group for group, policy in policies.items() if policy.min == 0} - {m.process_group for m in machines}
    return Counter(m.process_group for m in machines if MADE_KEY in m.config.metadata) + Counter(first)


def autoscale_policies(release: Release) -> dict[str, AutoscalePolicy]:
    """Return what a release says of autoscaling, by process group."""
    given = release.config.autoscale
    configs = machine_configs(
        release.config, image=release.image_digest, plan_processes=release.processes, release=release.version
    )
    only = next((group for group, config in configs.items() if config.services), next(iter(configs), ""))
    return {group or only: policy for group, policy in given.items() if (group or only) in configs}


def _in_place(configs: Mapping[str, MachineConfig]) -> frozenset[str]:
    """Return the groups whose machines are changed, not replaced: they have volumes, or runs to remember."""
    return frozenset(group for group, config in configs.items() if config.mounts or config.schedule)
