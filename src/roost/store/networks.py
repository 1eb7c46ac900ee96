"""Rows of network policies and IP assignments."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.exc import IntegrityError

from roost.model.errors import NameTaken, NotFound
from roost.model.ip_assignment import IpAssignment
from roost.model.network_policy import NetworkPolicy, read_rules, read_selector, rules_to_json, selector_to_json
from roost.store.database import Database
from roost.store.schema import ip_assignments, network_policies


def _policy(row: Row[tuple[object, ...]]) -> NetworkPolicy:
    data: dict[str, Any] = dict(row._mapping)
    data["selector"], data["rules"] = read_selector(data["selector"]), read_rules(data["rules"])
    return NetworkPolicy(**data)


class NetworkPolicies:
    """Network policies by id."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, policy: NetworkPolicy) -> None:
        """Add a policy; raises NameTaken when its app has one of this name."""
        values = {
            "id": policy.id,
            "app": policy.app,
            "name": policy.name,
            "selector": selector_to_json(policy.selector),
            "rules": rules_to_json(policy.rules),
            "created_at": policy.created_at,
        }
        with self._db.write() as connection:
            try:
                connection.execute(insert(network_policies).values(**values))
            except IntegrityError:
                raise NameTaken(
                    f"app {policy.app} has a network policy {policy.name!r} already",
                    hint="choose another name, or destroy that one first",
                ) from None

    def get(self, app: str, policy_id: str) -> NetworkPolicy:
        """Return a policy of an app; raises NotFound."""
        query = select(network_policies).where(network_policies.c.app == app, network_policies.c.id == policy_id)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("network policy not found", hint=f"`roost network policies list -a {app}` shows them")
        return _policy(row)

    def remove(self, policy_id: str) -> None:
        """Remove the row."""
        with self._db.write() as connection:
            connection.execute(delete(network_policies).where(network_policies.c.id == policy_id))

    def apps(self) -> frozenset[str]:
        """Return the names of the apps that have any."""
        with self._db.read() as connection:
            return frozenset(connection.execute(select(network_policies.c.app).distinct()).scalars())

    def list(self, app: str) -> list[NetworkPolicy]:
        """Return an app's policies, oldest first."""
        query = select(network_policies).where(network_policies.c.app == app)
        with self._db.read() as connection:
            ordered = query.order_by(network_policies.c.created_at, network_policies.c.id)
            return [_policy(row) for row in connection.execute(ordered)]


class IpAssignments:
    """Addresses that were assigned to apps."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, assignment: IpAssignment) -> IpAssignment:
        """Add an assignment; one that is there stays as it is and is returned."""
        with self._db.write() as connection:
            own = (ip_assignments.c.app == assignment.app) & (ip_assignments.c.ip == assignment.ip)
            if row := connection.execute(select(ip_assignments).where(own)).first():
                return IpAssignment(**row._mapping)
            connection.execute(insert(ip_assignments).values(**asdict(assignment)))
        return assignment

    def apps_with(self, prefix: str) -> frozenset[str]:
        """Return the names of the apps that have an address that begins so."""
        query = select(ip_assignments.c.app).where(ip_assignments.c.ip.startswith(prefix, autoescape=True))
        with self._db.read() as connection:
            return frozenset(connection.execute(query.distinct()).scalars())

    def remove(self, app: str, ip: str) -> None:
        """Remove an assignment; raises NotFound."""
        own = (ip_assignments.c.app == app) & (ip_assignments.c.ip == ip)
        with self._db.write() as connection:
            if not connection.execute(delete(ip_assignments).where(own)).rowcount:
                raise NotFound("IP assignment not found", hint=f"`roost ips list -a {app}` shows them")

    def list(self, app: str) -> list[IpAssignment]:
        """Return an app's assignments, oldest first."""
        query = select(ip_assignments).where(ip_assignments.c.app == app)
        with self._db.read() as connection:
            ordered = query.order_by(ip_assignments.c.created_at, ip_assignments.c.ip)
            return [IpAssignment(**row._mapping) for row in connection.execute(ordered)]
