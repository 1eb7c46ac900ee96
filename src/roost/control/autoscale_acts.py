"""What autoscaling does to machines: makes them as clones of their group, wakes them, takes them away.

State owned, in memory only: which machines are on their way out (they are drowsy, so out of the routes, and run on
until their last request has ended). What is half done is in the machines' rows, so that it can be killed anywhere: a
machine that was made bears the mark JOINING and gets no requests until it has become healthy, then MADE. One that is
found JOINING is gone on with; one that was on its way out and is found running serves again, until decided anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from roost.control.core import Core
from roost.control.deploys import Deploys
from roost.control.lifecycle import Lifecycle
from roost.control.readiness import Readiness
from roost.control.rollout import Rollout
from roost.control.routing import Routing
from roost.control.updating import Updating
from roost.host.sockets import connections_to
from roost.model.autoscale import JOINING, MADE, MADE_KEY
from roost.model.errors import Conflict, FailedPrecondition, NotFound, RoostError, Unprocessable
from roost.model.machine import Machine, MachineState
from roost.plan.autoscale import group_of
from roost.plan.idle import web_service

DRAIN_LOOK = 0.1  # seconds between two looks at the connections of a machine that goes
_UP = (MachineState.STARTED, MachineState.STARTING)


class AutoscaleActs:
    """Changes machines of one group at a time. `bring` is called in a thread."""

    def __init__(
        self,
        core: Core,
        deploys: Deploys,
        rollout: Rollout,
        lifecycle: Lifecycle,
        readiness: Readiness,
        routing: Routing,
        updates: Updating,
    ) -> None:
        self._core = core
        self._deploys = deploys
        self._rollout = rollout
        self._lifecycle = lifecycle
        self._readiness = readiness
        self._routing = routing
        self._updates = updates
        self._kept: set[str] = set()

    def keep(self, machines: Iterable[str]) -> None:
        """Let machines that are on their way out stay, where they have not gone yet."""
        self._kept |= set(machines) & self._routing.drowsy

    def bring(self, app: str, group: str, sleepers: Sequence[str], make: int) -> str:
        """Wake machines, make others, and see those that are there already through; returns what was done, in words.

        Raises Unprocessable when a machine that was made does not become healthy; it is gone then.
        """
        done = []
        for machine_id in sleepers:
            self._core.fault("autoscale.wake.begin")
            self._lifecycle.bring_up(machine_id, source="autoscale")
        if sleepers:
            self._core.on_loop(self._routing.sync(app))
            done.append(f"woke {', '.join(sleepers)}")
        for _ in range(make):
            self._add(app, group)
        joining = group_of(self._core.store.machines.list(app), group).joining
        for machine in joining:
            self._join(machine)
        if joining:
            done.append(f"made {', '.join(machine.id for machine in joining)}")
        return "; ".join(done) or "nothing was left to do"

    def _add(self, app: str, group: str) -> None:
        self._core.fault("autoscale.make.begin")
        with self._core.locks.holding(autoscale_lock(app)):  # the app may be going
            release = self._deploys.current(app)
            policies = self._core.store.autoscale.policies(app)
            if release is None or not any(policy.group == group and policy.policy for policy in policies):
                raise FailedPrecondition(f"{app} is not scaled any more")
            self._rollout.add_clone(release, group, mark=JOINING)
        self._core.fault("autoscale.make.added")

    def _join(self, machine: Machine) -> None:
        """Bring a new machine up, wait until it is healthy, and let it get requests."""
        release = self._core.store.releases.get(machine.app, machine.release)
        timeout = release.config.deploy.wait_timeout
        try:
            machine = self._lifecycle.bring_up(machine.id, source="autoscale")
            self._core.fault("autoscale.make.started")
            healthy = self._readiness.until_healthy(machine, timeout, cancelled=lambda: False)
            problem = self._core.on_loop(healthy, timeout + 60)
        except NotFound:
            raise Conflict(f"machine {machine.id} was removed meanwhile") from None
        except RoostError as error:
            self._lifecycle.destroy(machine.id, source="autoscale")
            raise Unprocessable(f"a new machine could not start: {error.message}", hint=error.hint) from error
        if self._core.store.machines.find(machine.id) is None:
            raise Conflict(f"machine {machine.id} was removed meanwhile")
        if problem is not None:
            self._lifecycle.destroy(machine.id, source="autoscale")
            raise Unprocessable(f"a new machine did not become healthy: {problem.message}", hint=problem.hint)
        self._lifecycle.admit(machine.id)
        self._core.fault("autoscale.make.admitted")
        self._updates.edit_metadata(machine.app, machine.id, {MADE_KEY: MADE})
        self._core.on_loop(self._routing.sync(machine.app))

    async def take_away(self, app: str, machines: Sequence[str], drain_timeout: float) -> str:
        """Take machines out of the routes, wait until their requests have ended, and destroy them; on the loop.

        One that is told to stay meanwhile (`keep`), or has requests after `drain_timeout` seconds, serves again.
        Returns what was done, in words.
        """
        going, stayed = set(machines), set[str]()
        self._kept -= going
        self._routing.drowsy |= going
        try:
            await self._routing.sync(app)
            self._core.fault("autoscale.remove.out")
            deadline = self._core.now() + drain_timeout
            while going:
                for machine_id in sorted(going):
                    if machine_id in self._kept or machine_id not in self._routing.drowsy:
                        stayed.add(machine_id)
                    elif await asyncio.to_thread(self._is_idle, machine_id):
                        self._core.fault("autoscale.remove.drained")
                        await asyncio.to_thread(self._lifecycle.destroy, machine_id, source="autoscale")
                    else:
                        continue
                    going.discard(machine_id)
                if self._core.now() > deadline:
                    break
                if going:
                    await asyncio.sleep(DRAIN_LOOK)
        finally:
            self._routing.drowsy -= set(machines)
            await self._routing.sync(app)
        stayed |= going
        gone = [machine_id for machine_id in machines if machine_id not in stayed]
        said = [f"removed {', '.join(gone)}"] if gone else []
        if stayed:
            said.append(f"{', '.join(sorted(stayed))} stayed: needed again, or its requests did not end")
        return "; ".join(said)

    def _is_idle(self, machine_id: str) -> bool:
        """Say whether nobody has a connection to a machine any more."""
        machine = self._core.store.machines.find(machine_id)
        if machine is None or machine.state not in _UP:
            return True
        service = web_service(machine)
        return service is None or not connections_to(machine.private_ipv4, service.internal_port)


def autoscale_lock(app: str) -> str:
    """Return the lock that is held while machines are added by autoscaling, and while the app is destroyed."""
    return f"autoscale:{app}"
