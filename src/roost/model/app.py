"""Apps, their releases and the events of their machines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roost.model.app_config import AppConfig


@dataclass(frozen=True, slots=True)
class App:
    """A named set of machines behind one host name. Names are unique in the cloud, across orgs."""

    id: str
    name: str
    org: str
    network: str
    number: int  # small unique integer, `internal_numeric_id` on the wire
    secrets_version: int
    created_at: float
    role: str = ""  # what its maker says that it is, such as postgres_cluster; Roost makes nothing of it


def private_network(app: App) -> str:
    """Return the host's name of an app's private network: networks of two orgs are two, however they are called."""
    return app.network if app.network == default_network(app.org) else f"{app.org}/{app.network}"


def default_network(org: str) -> str:
    """Return the name of the network that an org's apps share unless told otherwise."""
    return f"{org}-default"


class ReleaseState(StrEnum):
    """Where a release is in its life."""

    ROLLING = "rolling"
    COMPLETE = "complete"
    FAILED = "failed"  # it did not become healthy and was taken back


@dataclass(frozen=True, slots=True)
class Release:
    """An immutable pair of image and configuration. `version` counts from 1 within the app."""

    app: str
    version: int
    image_digest: str
    image_reference: str
    config: AppConfig
    processes: dict[str, str]  # group -> command that the build found, used where the config names none
    state: ReleaseState
    reason: str  # why it failed, or "rollback to v3", or ""
    created_at: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a machine, newest first in listings."""

    id: str  # ULID
    machine_id: str
    type: str  # launch | start | stop | suspend | resume | exit | restart | health | update | destroy
    status: str  # the machine's state after it
    source: str  # user | flyd | proxy (names of the Fly Machines API)
    detail: dict[str, object]
    at: float
