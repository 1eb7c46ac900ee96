"""Network policies and IP assignments in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roost.model.errors import NameTaken, NotFound
from roost.model.ip_assignment import IpAssignment, check_type
from roost.model.network_policy import NetworkPolicy, Rule, Selector, policy_id

if TYPE_CHECKING:
    from tests.contract.api.fake_world import World

NOW = 1_700_000_000.5
ADDRESS = "203.0.113.7"


@dataclass
class NetworkPolicies:
    world: World
    policies: dict[str, NetworkPolicy] = field(default_factory=dict)

    def list(self, app: str) -> list[NetworkPolicy]:
        self.world.app(app)
        return [policy for policy in self.policies.values() if policy.app == app]

    def get(self, app: str, policy_id: str) -> NetworkPolicy:
        found = next((policy for policy in self.list(app) if policy.id == policy_id), None)
        if found is None:
            raise NotFound("network policy not found")
        return found

    def create(self, app: str, name: str, selector: Selector, rules: tuple[Rule, ...]) -> NetworkPolicy:
        if any(policy.name == name for policy in self.list(app)):
            raise NameTaken(f"{name} is taken")
        made = NetworkPolicy(policy_id(os.urandom(8)), app, name, selector, rules, NOW)
        self.policies[made.id] = made
        return made

    def destroy(self, app: str, policy_id: str) -> None:
        del self.policies[self.get(app, policy_id).id]


@dataclass
class IpAssignments:
    world: World
    assigned: dict[tuple[str, str], IpAssignment] = field(default_factory=dict)

    def list(self, app: str) -> list[IpAssignment]:
        self.world.app(app)
        return [found for (owner, _), found in self.assigned.items() if owner == app]

    def create(self, app: str, kind: str, *, region: str = "", service_name: str = "") -> IpAssignment:
        check_type(kind)
        self.world.app(app)
        made = IpAssignment(app, ADDRESS, region or "local", service_name, NOW)
        return self.assigned.setdefault((app, ADDRESS), made)

    def destroy(self, app: str, ip: str) -> None:
        self.world.app(app)
        if self.assigned.pop((app, ip), None) is None:
            raise NotFound("IP assignment not found")
