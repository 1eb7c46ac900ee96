"""The verbs behind the API: what one can ask of a cloud, and the values that come back.

State: none here; the implementation owns it. Plain methods block and are called in threads; `async`
ones and the async generators run on roostd's event loop and must not block it. Every method may raise
a RoostError whose text is meant for the user (NotFound for an unknown app, machine, source or
operation); anything else that escapes is a defect and reaches the user only as a request id.

Asked twice, a method ends in the same state: creating answers NameTaken or makes a second, unnamed
thing; starting a started machine, stopping a stopped one and cancelling a finished operation succeed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol

from roost.control.contract_autoscale import Autoscaling
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
from roost.model.app import App, Release
from roost.model.app_config import AppConfig
from roost.model.audit import AuditEntry, Called
from roost.model.build_plan import BuildPlan
from roost.model.certificate import Certificate
from roost.model.identity import Principal
from roost.model.image import Image
from roost.model.operation import Operation, Progress
from roost.model.replay import Kept
from roost.plan.certificates import Requirements, Verdict
from roost.plan.domain_report import Report

# of machines, of identity, of what apps keep, and values: named here as all the others
__all__ = [
    "AppState",
    "AppStatus",
    "CheckStatus",
    "CloudStatus",
    "ContainerStatus",
    "DeployRequest",
    "IpAssignments",
    "KeyRotation",
    "Leases",
    "LogEntry",
    "Machines",
    "Memory",
    "NetworkPolicies",
    "Orgs",
    "Principal",
    "Requests",
    "Schedules",
    "SecretInfo",
    "SecretKeys",
    "Secrets",
    "SourceInfo",
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


class Sources(Protocol):
    """Source directories on their way to a build."""

    async def receive(self, stream: AsyncIterator[bytes]) -> SourceInfo:
        """Unpack a gzipped tar; leaves nothing behind when `stream` raises. Raises BadInput for an unsafe archive."""

    def plan(self, source_id: str, config: AppConfig | None, name: str) -> tuple[BuildPlan, AppConfig, str]:
        """Detect what the source is: the plan, the configuration with its gaps filled, and that as TOML."""


class Deploys(Protocol):
    """Bringing a release to an app's machines."""

    def start(self, app: str, request: DeployRequest) -> Operation:
        """Begin a deploy; raises Conflict while another one of the app runs."""

    def rollback(self, app: str, version: int) -> Operation:
        """Begin deploying an earlier release again; 0 means the complete one before the current."""


class Scaling(Protocol):
    """How many machines the process groups of an app have."""

    def start(self, app: str, counts: Mapping[str, int]) -> Operation:
        """Begin to bring groups to so many machines; raises Conflict while the app deploys."""


class Releases(Protocol):
    """Releases of an app."""

    def list(self, app: str) -> list[Release]:
        """Return the releases, newest first."""


class Operations(Protocol):
    """Durable long-running jobs."""

    def list(self, app: str | None = None) -> list[Operation]:
        """Return the operations of an app, or all, newest first."""

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""

    def cancel(self, operation_id: str) -> Operation:
        """Ask it to end and undo; returns it as it is now. One that has ended stays as it is."""

    def follow(self, operation_id: str, after: int = 0) -> AsyncIterator[Progress]:
        """Async generator of progress numbered above `after`; it ends after the one of kind `done`."""


class Images(Protocol):
    """Images in this cloud's store."""

    def list(self) -> list[Image]:
        """Return the images, newest first."""

    def labels(self, digests: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of images by digest; one that is not here is left out."""

    def pull(self, reference: str) -> Operation:
        """Begin bringing an image here, unless it is here."""

    def refresh(self, reference: str) -> Operation:
        """Begin pulling or making it again, even if it is here."""

    def collect(self) -> int:
        """Remove what nothing uses; returns the bytes freed."""


class Admin(Protocol):
    """What only the cloud's operator may do."""

    def rotate_keys(self) -> KeyRotation:
        """Replace the key that wraps all others, and make the next key that signs identity tokens."""

    def domain(self) -> Report:
        """Return how the public certificates of the cloud's domain stand."""

    def check_domain(self) -> Report:
        """Ask DNS now, and have the authority asked again at once."""


class Audit(Protocol):
    """Who changed or tried to change what."""

    def record(self, call: Called) -> None:
        """Note a call, to be written soon. Never fails, never waits."""

    def list(
        self,
        *,
        orgs: Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        since: float = 0.0,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first: of some orgs and apps (None: of all), since a time, before an entry's id."""


class Oidc(Protocol):
    """Identity tokens of machines, and what those who check them need."""

    def token(self, machine_id: str, *, audience: str = "", aws_principal_tags: bool = False) -> str:
        """Return a signed JWT that says which machine it is, for one audience ("": the issuer); raises NotFound."""

    def configuration(self) -> dict[str, object]:
        """Return the OpenID Connect discovery document."""

    def keys(self) -> dict[str, object]:
        """Return the public keys, as a JSON Web Key Set."""


class Replays(Protocol):
    """Answers to calls with an Idempotency-Key. `key` is a digest that holds the token, method and path as well."""

    def find(self, key: bytes) -> Kept | None:
        """Return what was kept under a key in the last day."""

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer; may forget older ones, or this one when it is too large. Never fails."""


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
