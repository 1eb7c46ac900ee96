"""Calls about networks: policies for direct connections of machines, and addresses of apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from roost.sdk.group import Group, M, call
from roost.sdk.shapes import IpAssignment, NetworkPolicy
from roost.sdk.transport import join


class NetworkPolicies(Group[M]):
    """`client.network_policies`."""

    @call
    async def get(self, app: str, policy_id: str) -> NetworkPolicy:
        """Return a network policy; raises NotFound."""
        return cast("NetworkPolicy", await self._http.call("GET", join("apps", app, "network_policies", policy_id)))

    @call
    async def create(
        self, app: str, name: str, *, selector: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]
    ) -> NetworkPolicy:
        """Make a network policy, which holds at once; raises NameTaken, BadInput."""
        body = {"name": name, "selector": dict(selector), "rules": list(rules)}
        return cast("NetworkPolicy", await self._http.call("POST", join("apps", app, "network_policies"), body=body))

    @call
    async def destroy(self, app: str, policy_id: str) -> None:
        """Remove a network policy."""
        await self._http.call("DELETE", join("apps", app, "network_policies", policy_id))

    @call
    async def list(self, app: str) -> list[NetworkPolicy]:
        """Return an app's network policies, oldest first."""
        return cast("list[NetworkPolicy]", await self._http.call("GET", join("apps", app, "network_policies")))


class IpAssignments(Group[M]):
    """`client.ip_assignments`."""

    @call
    async def create(
        self, app: str, kind: str = "shared_v4", *, region: str = "", service_name: str = ""
    ) -> IpAssignment:
        """Assign an address to an app; raises Unprocessable for a type that the server doesn't have."""
        given = {"type": kind, "region": region, "service_name": service_name}
        body = {key: value for key, value in given.items() if value}
        return cast("IpAssignment", await self._http.call("POST", join("apps", app, "ip_assignments"), body=body))

    @call
    async def destroy(self, app: str, ip: str) -> None:
        """Take an address from an app."""
        await self._http.call("DELETE", join("apps", app, "ip_assignments", ip))

    @call
    async def list(self, app: str) -> list[IpAssignment]:
        """Return the addresses that were assigned to an app."""
        answer = await self._http.call("GET", join("apps", app, "ip_assignments"))
        return cast("list[IpAssignment]", answer["ips"])
