"""Autoscaling as the API sees it: a part of `contract`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from roost.model.autoscale import AutoscalePolicy, Decision, GroupPolicy


@dataclass(frozen=True, slots=True)
class GroupState:
    """A policy and how its group is now."""

    policy: GroupPolicy
    machines: int  # all that count
    running: int
    made: int  # of these, by autoscaling
    wanted: int  # as of the latest look
    why: str  # what the latest look saw, in words; "" before the first
    held: str = ""  # why nothing is done although the load asks for it
    seen: dict[str, Any] = field(default_factory=dict)


class Autoscaling(Protocol):
    """Numbers of machines that follow their load."""

    def groups(self, app: str) -> Sequence[GroupState]:
        """Return the app's policies, by process group; raises NotFound for no such app."""

    def decisions(self, app: str, limit: int) -> Sequence[Decision]:
        """Return the latest decisions, newest first; raises NotFound."""

    def set(self, app: str, group: str, policy: AutoscalePolicy) -> GroupState:
        """Set a group's policy, in force at once; raises BadInput for an unknown group, or one it does not fit."""

    def off(self, app: str, group: str) -> GroupState:
        """Leave a group's machines as they are from now on; raises BadInput for an unknown group."""
