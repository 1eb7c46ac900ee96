"""The values that come back from the verbs of a cloud, and what a deploy is asked by. See `contract`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from roost.control.contract_machines import CheckStatus
from roost.edge.contract import EdgeStatus
from roost.model.app import App, Release
from roost.model.app_config import AppConfig
from roost.model.machine import Machine
from roost.plan.domain_report import Report


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """The wrapping key in use now, how many data keys it wraps anew, and how many values were sealed anew."""

    key: int
    data_keys: int
    values: int


class AppState(StrEnum):
    """What a visitor of the app would find."""

    AWAKE = "awake"
    ASLEEP = "asleep"  # the next request wakes it
    STOPPED = "stopped"  # by its owner: a request does not start it
    BROKEN = "broken"
    EMPTY = "empty"  # it has no machines: nothing was deployed yet, or they are gone
    DEPLOYING = "deploying"


@dataclass(frozen=True, slots=True)
class AppStatus:
    """An app as its owner sees it. `reason` says in words why it is in `state`.

    `serves` names where its machines answer: its URL, and ports of its own like `shop.example.com:6667/tcp`. `checks`
    are those of the machines that run, by machine.
    """

    app: App
    url: str
    state: AppState
    reason: str
    release: Release | None
    machines: list[Machine]
    last_request_at: float  # Unix time; 0: never
    serves: list[str] = field(default_factory=list)
    checks: Mapping[str, Sequence[CheckStatus]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """A secret without its value. `digest` tells two values apart."""

    name: str
    digest: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of an app's log. `source` is `app` (a machine wrote it) or `roost` (the cloud did)."""

    at: float
    machine_id: str
    stream: str  # stdout | stderr
    text: str
    source: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source directory that was received and unpacked."""

    id: str
    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What to deploy: a received source, or an image; `config` None keeps the last release's.

    `build_secrets` are seen by the build only; they are never stored with the operation.
    """

    source: str = ""
    image: str = ""
    config: AppConfig | None = None
    build_args: dict[str, str] = field(default_factory=dict)
    build_secrets: dict[str, str] = field(default_factory=dict, repr=False)
    no_cache: bool = False


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """The cloud as a whole. `pool_*` are bytes."""

    id: str
    version: str
    domain: str
    http_port: int
    https_port: int  # 0: no TLS
    api_port: int
    pid: int
    started_at: float
    edge: EdgeStatus
    pool_used: int
    pool_total: int
    apps: int
    machines_by_state: dict[str, int]
    certificate: Report | None = None  # the public ones of the domain
