"""The verbs on network policies, and bringing them to machines.

State owned: none; policies are rows, what is enforced is the host's. Order: the row, then the machines. A machine
reads its policies when it starts, under its lock, so that one which starts meanwhile has the new ones. Killed in
between, `resume` brings all machines concerned in line.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address

from roost.control.core import Core, log
from roost.model.errors import FailedPrecondition, RoostError, Unavailable
from roost.model.machine import Machine, MachineState
from roost.model.network_policy import MAX_POLICIES, NetworkPolicy, Rule, Selector, policy_id
from roost.plan.network_filter import filter_of

_S = MachineState
_RUNS = (_S.STARTING, _S.STARTED, _S.SUSPENDING, _S.SUSPENDED)


class NetworkPolicies:
    """Network policies of an app."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self, app: str) -> list[NetworkPolicy]:
        """Return an app's policies, oldest first."""
        self._core.store.apps.get(app)
        return self._core.store.network_policies.list(app)

    def get(self, app: str, policy_id: str) -> NetworkPolicy:
        """Return one; raises NotFound."""
        self._core.store.apps.get(app)
        return self._core.store.network_policies.get(app, policy_id)

    def create(self, app: str, name: str, selector: Selector, rules: tuple[Rule, ...]) -> NetworkPolicy:
        """Make one and enforce it; raises NameTaken, FailedPrecondition when there are too many.

        Raises Unavailable when a machine can't be brought to keep it: then there is none, as before.
        """
        core = self._core
        if len(self.list(app)) >= MAX_POLICIES:
            raise FailedPrecondition(
                f"failed_precondition: {app} has {MAX_POLICIES} network policies, which is the most there can be",
                hint="put the rules of several into one",
            )
        policy = NetworkPolicy(policy_id(os.urandom(8)), app, name, selector, rules, core.now())
        core.store.network_policies.add(policy)
        core.fault("policy.create.recorded")
        try:
            self._enforce(app)
        except RoostError as error:
            core.store.network_policies.remove(policy.id)
            log.warning("a network policy can't be enforced", app=app, error=error.message)
            self._as_before(app)
            raise Unavailable(
                f"the network policy can't be enforced, and was not made: {error.message}",
                hint=error.hint or "`roost doctor` on the server says whether nftables works",
            ) from error
        return policy

    def _as_before(self, app: str) -> None:
        try:
            self._enforce(app)
        except RoostError as error:  # machines that come later have the rows' policies
            log.warning("network policies are not enforced", app=app, error=error.message)

    def destroy(self, app: str, policy_id: str) -> None:
        """Remove one and enforce it no longer; raises NotFound."""
        self.get(app, policy_id)
        self._core.store.network_policies.remove(policy_id)
        self._core.fault("policy.destroy.recorded")
        self._enforce(app)

    def resume(self) -> None:
        """Enforce what the rows say, after roostd was away."""
        machines = (self._core.store.machines.find(machine_id) for machine_id in self._core.host.limited())
        for app in self._core.store.network_policies.apps() | {machine.app for machine in machines if machine}:
            try:
                self._enforce(app)
            except RoostError as error:
                log.warning("network policies are not enforced", app=app, error=error.message)

    def enforce_on(self, machine: Machine) -> None:
        """Let the host know what the policies leave a machine now. Its lock is held if it may be starting."""
        allowed = filter_of(machine, self._core.store.network_policies.list(machine.app))
        ipv4, ipv6 = IPv4Address(machine.private_ipv4), IPv6Address(machine.private_ip)
        self._core.host.limit(machine.id, ipv4, ipv6, allowed)

    def _enforce(self, app: str) -> None:
        """Bring the policies to the app's machines that run. One that is being stopped holds its lock for long."""
        for machine in self._core.store.machines.list(app):
            if machine.state is _S.STOPPING:
                self.enforce_on(machine)
            elif machine.state in _RUNS:
                with self._core.locks.holding(machine.id):
                    found = self._core.store.machines.find(machine.id)
                    if found is not None:
                        self.enforce_on(found)
