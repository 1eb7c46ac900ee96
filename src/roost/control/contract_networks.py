"""The verbs on network policies and IP assignments: a part of `roost.control.contract`, which see."""

from __future__ import annotations

from typing import Protocol

from roost.model.ip_assignment import IpAssignment
from roost.model.network_policy import NetworkPolicy, Rule, Selector


class NetworkPolicies(Protocol):
    """Network policies of an app."""

    def list(self, app: str) -> list[NetworkPolicy]:
        """Return an app's policies, oldest first."""

    def get(self, app: str, policy_id: str) -> NetworkPolicy:
        """Return one; raises NotFound."""

    def create(self, app: str, name: str, selector: Selector, rules: tuple[Rule, ...]) -> NetworkPolicy:
        """Make one and enforce it; raises NameTaken, FailedPrecondition when there are too many.

        Raises Unavailable when it can't be enforced: then there is none, as before.
        """

    def destroy(self, app: str, policy_id: str) -> None:
        """Remove one and enforce it no longer; raises NotFound."""


class IpAssignments(Protocol):
    """Addresses under which an app is reached."""

    def list(self, app: str) -> list[IpAssignment]:
        """Return an app's assignments, oldest first."""

    def create(self, app: str, kind: str, *, region: str = "", service_name: str = "") -> IpAssignment:
        """Assign an address of a type; raises BadInput, Unprocessable for a type that a server doesn't have."""

    def destroy(self, app: str, ip: str) -> None:
        """Take an address back; raises NotFound."""
