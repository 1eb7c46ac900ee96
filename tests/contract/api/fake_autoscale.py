"""Autoscaling in memory: policies are kept, and one decision was made."""

from __future__ import annotations

from typing import Any

from roost.control.contract_autoscale import GroupState
from roost.model.autoscale import AutoscalePolicy, Decision, GroupPolicy
from roost.model.errors import BadInput

NOW = 1_700_000_000.5


class Autoscaling:
    def __init__(self, world: Any) -> None:
        self.world = world
        self.policies: dict[tuple[str, str], GroupPolicy] = {}

    def groups(self, app: str) -> list[GroupState]:
        self.world.app(app)
        return [self._state(policy) for (owner, _), policy in sorted(self.policies.items()) if owner == app]

    def decisions(self, app: str, limit: int) -> list[Decision]:
        self.world.app(app)
        if not any(owner == app for owner, _ in self.policies):
            return []
        seen = {"requests": 30, "waiting": 0}
        return [Decision("01", app, "app", NOW, "up", seen, 1, 2, "30 requests at once", "done", "made m", NOW)][:limit]

    def set(self, app: str, group: str, policy: AutoscalePolicy) -> GroupState:
        return self._put(GroupPolicy(app, group, policy, "api"))

    def off(self, app: str, group: str) -> GroupState:
        return self._put(GroupPolicy(app, group, None, "api"))

    def _put(self, policy: GroupPolicy) -> GroupState:
        self.world.app(policy.app)
        if policy.group not in ("app", "worker"):
            raise BadInput(f"{policy.app} has no process group {policy.group!r}")
        self.policies[(policy.app, policy.group)] = policy
        return self._state(policy)

    @staticmethod
    def _state(policy: GroupPolicy) -> GroupState:
        return GroupState(policy, 1, 1, 0, 1, "3 requests at once", "", {"requests": 3})
