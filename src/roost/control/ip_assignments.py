"""The verbs on IP assignments: records of which app asked for the server's address."""

from __future__ import annotations

from roost.control.core import Core
from roost.model.errors import FailedPrecondition
from roost.model.ip_assignment import IpAssignment, check_type


class IpAssignments:
    """Addresses under which an app is reached."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self, app: str) -> list[IpAssignment]:
        """Return an app's assignments, oldest first."""
        self._core.store.apps.get(app)
        return self._core.store.ip_assignments.list(app)

    def create(self, app: str, kind: str, *, region: str = "", service_name: str = "") -> IpAssignment:
        """Assign an address of a type; raises BadInput, Unprocessable for a type that a server doesn't have."""
        check_type(kind)
        core = self._core
        core.store.apps.get(app)
        if not core.public_ipv4:
            raise FailedPrecondition(
                "failed_precondition: this server has no way to the outside, so its address isn't known",
                hint='name it in config.toml: [edge] address = "203.0.113.7"',
            )
        made = IpAssignment(app, core.public_ipv4, region or core.region, service_name, core.now())
        return core.store.ip_assignments.add(made)

    def destroy(self, app: str, ip: str) -> None:
        """Take an address back; raises NotFound."""
        self._core.store.apps.get(app)
        self._core.store.ip_assignments.remove(app, ip)
