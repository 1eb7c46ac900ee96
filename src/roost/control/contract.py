"""The verbs behind the API: what one can ask of a cloud, and the values that come back.

State: none here; the implementation owns it. Plain methods block and are called in threads; `async`
ones and the async generators run on roostd's event loop and must not block it. Every method may raise
a RoostError whose text is meant for the user (NotFound for an unknown app, machine, source or
operation); anything else that escapes is a defect and reaches the user only as a request id.

Asked twice, a method ends in the same state: creating answers NameTaken or makes a second, unnamed
thing; starting a started machine, stopping a stopped one and cancelling a finished operation succeed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from roost.control.contract_admin import Admin, Audit, Oidc, Replays
from roost.control.contract_autoscale import Autoscaling
from roost.control.contract_deploys import Deploys, Images, Operations, Releases, Scaling, Sources
from roost.control.contract_identity import Orgs, Tokens
from roost.control.contract_kept import SecretKeys, Secrets, Volumes
from roost.control.contract_machines import (
    CheckStatus,
    ContainerStatus,
    Leases,
    Machines,
    Memory,
    Schedules,
    Tunnels,
    Updates,
)
from roost.control.contract_networks import IpAssignments, NetworkPolicies
from roost.control.contract_requests import Requests
from roost.control.contract_values import (
    AppState,
    AppStatus,
    CloudStatus,
    DeployRequest,
    KeyRotation,
    LogEntry,
    SecretInfo,
    SourceInfo,
)
from roost.model.app import App
from roost.model.certificate import Certificate
from roost.model.identity import Principal
from roost.plan.certificates import Requirements, Verdict
from roost.plan.domain_report import Trust

# of machines, deploys, identity, the operator, of what apps keep, and values: named here as all the others
__all__ = [
    "Admin",
    "AppState",
    "AppStatus",
    "Audit",
    "CheckStatus",
    "CloudStatus",
    "ContainerStatus",
    "DeployRequest",
    "Deploys",
    "Images",
    "IpAssignments",
    "KeyRotation",
    "Leases",
    "LogEntry",
    "Machines",
    "Memory",
    "NetworkPolicies",
    "Oidc",
    "Operations",
    "Orgs",
    "Principal",
    "Releases",
    "Replays",
    "Requests",
    "Scaling",
    "Schedules",
    "SecretInfo",
    "SecretKeys",
    "Secrets",
    "SourceInfo",
    "Sources",
    "Tokens",
    "Tunnels",
    "Updates",
    "Volumes",
]


class Apps(Protocol):
    """Apps: named sets of machines."""

    def list(self, org: str | None = None) -> list[App]:
        """Return the apps of an org, or all, by name."""

    def create(self, name: str, org: str = "personal", network: str = "", role: str = "") -> App:
        """Make an app; raises NameTaken. `role` is what its maker says that it is."""

    def get(self, name: str) -> App:
        """Return an app; raises NotFound."""

    def destroy(self, name: str, *, force: bool) -> None:
        """Remove an app and all it has; without `force` raises FailedPrecondition while machines run."""

    def status(self, name: str) -> AppStatus:
        """Return how an app is, and why."""

    def machine_count(self, name: str) -> int:
        """Return how many machines the app has, whatever their state."""

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Return how many machines and volumes each app has; one that has none may be missing."""


class Certificates(Protocol):
    """Host names of an app, and their certificates."""

    def list(self, app: str, *, part: str = "", after: str = "", limit: int) -> tuple[list[Certificate], int]:
        """Return those after a host name, at most `limit`, whose names hold `part`; and how many these are in all."""

    def get(self, app: str, hostname: str) -> Certificate:
        """Return one; raises NotFound."""

    def judge(self, certificate: Certificate) -> tuple[Requirements, Verdict]:
        """Return what must be in DNS, and where the certificate stands by the last check."""

    def request(self, app: str, hostname: str) -> Certificate:
        """Ask for one to be issued; raises BadInput, NameTaken when another app has the host name."""

    def upload(self, app: str, hostname: str, fullchain: str, private_key: str) -> Certificate:
        """Bring one with its key, both PEM; raises BadInput, NameTaken."""

    def check(self, app: str, hostname: str) -> Certificate:
        """Ask DNS now, and keep what it says; takes seconds where DNS does. Raises NotFound."""

    def remove(self, app: str, hostname: str) -> None:
        """Remove the host name with all it has; raises NotFound."""

    def remove_acme(self, app: str, hostname: str) -> Certificate:
        """Ask no longer for one to be issued; raises NotFound."""

    def remove_custom(self, app: str, hostname: str) -> Certificate:
        """Remove the one that was brought, and its key; raises NotFound."""

    def authority(self) -> str:
        """Return the certificate of the cloud's own authority as PEM."""

    def trust(self) -> Trust:
        """Return whether clients have to trust the cloud's own authority."""


class Logs(Protocol):
    """Logs of an app's machines."""

    def follow(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[LogEntry]:
        """Async generator of log lines, oldest first: the last `limit` since `since`, then, with `follow`, new ones."""


class Metrics(Protocol):
    """What the programs of machines say of themselves."""

    def text(self, app: str) -> str:
        """Return the latest samples of an app's started machines as Prometheus text; raises NotFound."""


class Control(Protocol):
    """One cloud's control plane, as the API sees it."""

    @property
    def apps(self) -> Apps:
        """Apps."""

    @property
    def machines(self) -> Machines:
        """Machines."""

    @property
    def scaling(self) -> Scaling:
        """How many machines an app has."""

    @property
    def autoscaling(self) -> Autoscaling:
        """Numbers of machines that follow their load."""

    @property
    def tunnels(self) -> Tunnels:
        """Connections to ports of machines."""

    @property
    def updates(self) -> Updates:
        """New versions of machines, and metadata."""

    @property
    def schedules(self) -> Schedules:
        """What scheduled machines did."""

    @property
    def leases(self) -> Leases:
        """Leases on machines."""

    @property
    def replays(self) -> Replays:
        """Answers that are given again."""

    @property
    def admin(self) -> Admin:
        """What only the operator may do."""

    @property
    def audit(self) -> Audit:
        """The audit log."""

    @property
    def oidc(self) -> Oidc:
        """Identity tokens of machines."""

    @property
    def region(self) -> str:
        """The one region of this cloud."""

    @property
    def domain(self) -> str:
        """The domain that apps have their host names below."""

    @property
    def network_cidr(self) -> str:
        """The prefix that machines' private addresses are in."""

    @property
    def volumes(self) -> Volumes:
        """Volumes."""

    @property
    def network_policies(self) -> NetworkPolicies:
        """Network policies."""

    @property
    def ip_assignments(self) -> IpAssignments:
        """Addresses of apps."""

    @property
    def secrets(self) -> Secrets:
        """Secrets."""

    @property
    def secret_keys(self) -> SecretKeys:
        """Secret keys."""

    @property
    def certificates(self) -> Certificates:
        """Certificates."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of machines."""

    @property
    def logs(self) -> Logs:
        """Logs."""

    @property
    def requests(self) -> Requests:
        """Requests that the edge served or refused."""

    @property
    def sources(self) -> Sources:
        """Sources."""

    @property
    def deploys(self) -> Deploys:
        """Deploys."""

    @property
    def releases(self) -> Releases:
        """Releases."""

    @property
    def operations(self) -> Operations:
        """Operations."""

    @property
    def images(self) -> Images:
        """Images."""

    @property
    def tokens(self) -> Tokens:
        """Tokens."""

    @property
    def orgs(self) -> Orgs:
        """Orgs."""

    def status(self) -> CloudStatus:
        """Return how the cloud is."""
