"""The verbs on apps."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

from roost.control.autoscale_acts import autoscale_lock
from roost.control.contract import AppState, AppStatus
from roost.control.core import Core
from roost.control.lifecycle import Lifecycle
from roost.control.operations import Operations
from roost.control.orgs import lock_of
from roost.control.readiness import Readiness
from roost.control.requests import Requests
from roost.control.sealing import keys_of
from roost.control.volumes import Volumes
from roost.model.app import App, Release, ReleaseState, default_network
from roost.model.errors import FailedPrecondition
from roost.model.identity import Org, check_org
from roost.model.machine import Machine, MachineState
from roost.model.names import check_app_name
from roost.plan.public_ports import places_of

_UP = (MachineState.STARTED, MachineState.STARTING, MachineState.SUSPENDING)
LATELY = 600.0  # seconds: a machine that ended so long ago and runs again is told of
CANCEL_TIMEOUT = 60.0  # seconds an operation may take to undo what it did


class Apps:
    """Apps: named sets of machines."""

    def __init__(
        self, core: Core, lifecycle: Lifecycle, operations: Operations, volumes: Volumes, requests: Requests,
        readiness: Readiness, gone: Callable[[], None],
    ) -> None:  # fmt: skip
        """`gone` is called when an app is no more."""
        self._gone = gone
        self._readiness = readiness
        self.made: Callable[[], None] = lambda: None  # called when there is one more
        self._core = core
        self._requests = requests
        self._volumes = volumes
        self._lifecycle = lifecycle
        self._operations = operations

    def create(self, name: str, org: str = "personal", network: str = "", role: str = "") -> App:
        """Make an app, and its org if there is none yet (who may name that one is the cloud's); raises NameTaken."""
        check_app_name(name)
        now = self._core.now()
        with self._core.locks.holding(lock_of(org)):
            if self._core.store.orgs.find(org) is None:
                self._core.store.orgs.add(Org(check_org(org), org, now))
            made = self._core.store.apps.create(
                name=name,
                app_id=os.urandom(8).hex(),
                org=org,
                network=network or default_network(org),
                now=now,
                role=role,
            )
        self._requests.forget(name)  # of an earlier app of this name: not the new owner's to read
        self.made()
        return made

    def get(self, name: str) -> App:
        """Return an app; raises NotFound."""
        return self._core.store.apps.get(name)

    def machine_count(self, name: str) -> int:
        """Return how many machines the app has, whatever their state."""
        return self._core.store.machines.counts_by_app(name).get(name, 0)

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Return how many machines and volumes each app has; one that has none may be missing."""
        machines, volumes = self._core.store.machines.counts_by_app(), self._core.store.volumes.counts_by_app()
        return {app: (machines.get(app, 0), volumes.get(app, 0)) for app in machines.keys() | volumes.keys()}

    def destroy(self, name: str, *, force: bool) -> None:
        """Remove an app and all it has; without `force` raises FailedPrecondition while machines run or volumes exist.

        Failing half-way it can be asked again. A deploy under way is cancelled first.
        """
        self.get(name)
        self._operations.end_all(name, CANCEL_TIMEOUT)
        machines = self._core.store.machines.list(name)
        running = [m.id for m in machines if m.state in _UP]
        if running and not force:
            raise FailedPrecondition(
                f"failed_precondition: {name} has {len(running)} running machines",
                hint="stop them first, or add --force",
            )
        if not force and (volumes := self._volumes.count(name)):
            raise FailedPrecondition(
                f"failed_precondition: {name} has {volumes} volumes, which would be lost",
                hint="destroy them first, or add --force",
            )
        known = self._core.store.events.machines_of(name, 10_000)
        with self._core.locks.holding(autoscale_lock(name)):  # it adds no machine from now on
            self._core.store.autoscale.forget(name)
        for machine in self._core.store.machines.list(name):
            self._lifecycle.destroy(machine.id)
        self._volumes.destroy_all(name)
        for machine_id in known:
            self._core.host.forget_log(machine_id)
        hosts = (self._core.cloud.app_host(name), *self._core.store.certificates.hosts(name))
        if self._core.store.public_ports.of_app(name):  # closed before they are anybody's again
            self._core.on_loop(self._core.edge.put_ports(name, ()))
        self._core.builder.forget(name)
        with self._core.locks.holding(keys_of(name)):  # its key goes too
            self._core.store.apps.remove(name, now=self._core.now())
        self._requests.forget(name)
        self._core.begin_on_loop(self._tell_edge(name, hosts))
        self._gone()

    async def _tell_edge(self, name: str, hosts: Sequence[str]) -> None:
        """Have the edge forget the certificates of an app that is gone, and what it saw of it."""
        self._core.edge.certificates_changed(hosts)
        self._core.edge.app_is_gone(name)

    def status(self, name: str) -> AppStatus:
        """Return how an app is, and why."""
        app = self.get(name)
        machines = self._core.store.machines.list(name)
        releases = self._core.store.releases.list(name)
        current = next((r for r in releases if r.state is ReleaseState.COMPLETE), None)
        deploying = bool(self._core.store.operations.list(name, running=True))
        running = [machine for machine in machines if machine.state is MachineState.STARTED]
        withheld = {machine.id: why for machine in running if (why := self._readiness.withheld(machine))}
        failing = {machine.id for machine in running if self._readiness.fails(machine)}
        now = self._core.now()
        ended = {m.id: m.last_exit for m in running if m.restarts and m.last_exit and m.last_exit.at > now - LATELY}
        lately = {
            machine: f"{end.describe()}, {max(0.0, now - end.at):.0f} s ago"
            for machine, end in ended.items()
            if not end.requested_stop
        }
        state, reason = describe(
            machines, releases, deploying=deploying, withheld=withheld, failing=failing, lately=lately
        )
        url = self._core.app_url(name)
        services = [service for machine in machines for service in machine.config.services]
        host, rules = self._core.cloud.app_host(name), self._core.port_rules
        return AppStatus(
            app=app,
            url=url,
            serves=places_of(services, url=url, host=host, rules=rules),
            state=state,
            reason=with_next_step(reason, name) if state is AppState.BROKEN or lately else reason,
            release=current,
            machines=machines,
            last_request_at=self._core.edge.traffic(name).last_request_at,
            checks={machine.id: found for machine in running if (found := self._readiness.checks(machine.id))},
        )

    def list(self, org: str | None = None) -> list[App]:
        """Return the apps of an org, or all, by name."""
        return self._core.store.apps.list(org)


def describe(
    machines: list[Machine],
    releases: list[Release],
    *,
    deploying: bool,
    withheld: Mapping[str, str] = {},
    failing: Collection[str] = (),
    lately: Mapping[str, str] = {},
) -> tuple[AppState, str]:
    """Say what state an app is in, and why, from its machines and releases.

    `withheld` says of machines that run why they get no requests, `failing` names those that fail a check, `lately`
    says how those ended that were started again since.
    """
    if deploying:
        return AppState.DEPLOYING, "a deploy is under way"
    failed = [m for m in machines if m.state is MachineState.FAILED or _is_restarting(m)]
    if up := [m for m in machines if m.state in _UP]:
        return _describe_running(machines, up, failed, withheld, failing, lately)
    if failed:
        return AppState.BROKEN, f"machine {failed[0].id} {_how_it_ended(failed[0])}"
    if not machines:
        if releases and releases[0].state is ReleaseState.FAILED:
            return AppState.BROKEN, releases[0].reason
        if any(r.state is ReleaseState.COMPLETE for r in releases):
            return AppState.EMPTY, "it has no machines: they were destroyed, or scaled to 0 (roost scale count 1)"
        return AppState.EMPTY, "nothing was deployed yet"
    wakes = any(s.autostart for m in machines for s in m.config.services[:1])
    if wakes:
        suspended = sum(1 for m in machines if m.state is MachineState.SUSPENDED)
        return (
            AppState.ASLEEP,
            f"of its machines {suspended} suspended, {len(machines) - suspended} stopped; a request wakes it",
        )
    if due := [m.next_run_at for m in machines if m.next_run_at is not None]:
        return AppState.ASLEEP, f"its machines run at their times, next at {_clock(min(due))} UTC"
    return AppState.STOPPED, "its machines are stopped, and no request starts them"


def _describe_running(
    machines: list[Machine], up: list[Machine], failed: list[Machine], withheld: Mapping[str, str],
    failing: Collection[str], lately: Mapping[str, str],
) -> tuple[AppState, str]:  # fmt: skip
    """Say how an app is of which machines run; a visitor finds it broken when all that serve fail their checks."""
    said = [f"{len(up)} of {len(machines)} machines run"]
    said += [f"{m.id} gets no requests: {withheld[m.id]}" for m in up if m.id in withheld and not m.cordoned]
    said += [f"{m.id} is cordoned: it gets no requests (roost machine uncordon {m.id})" for m in up if m.cordoned]
    said += [f"{m.id} {lately[m.id]}, and was started again{_so_often(m)}" for m in up if m.id in lately]
    said += [f"{m.id} {_how_it_ended(m)}" for m in failed]
    serving = [m for m in up if m.config.services and not m.cordoned]
    broken = bool(serving) and all(m.id in failing for m in serving)
    return AppState.BROKEN if broken else AppState.AWAKE, "; ".join(said)


def with_next_step(reason: str, app: str) -> str:
    """Say where more can be learned of what ended or fails."""
    return f"{reason.rstrip('.')}; its log: roost logs -a {app}"


def _so_often(machine: Machine) -> str:
    return f" (restart {machine.restarts})" if machine.restarts > 1 else ""


def _is_restarting(machine: Machine) -> bool:
    """Say whether a machine keeps ending: it is between two restarts."""
    return machine.state is MachineState.STOPPED and machine.desired is MachineState.STARTED and machine.restarts > 0


def _how_it_ended(machine: Machine) -> str:
    how = machine.last_exit.describe() if machine.last_exit else "could not be started"
    return f"{how}, and is started again in a moment (restart {machine.restarts})" if _is_restarting(machine) else how


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
