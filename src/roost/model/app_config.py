"""An app's configuration: what `roost.toml` (the keys of `fly.toml`) says, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from roost.model.autoscale import AutoscalePolicy
from roost.model.containers import Container, SharedVolume
from roost.model.file_config import File
from roost.model.machine_config import Check, Guest, Init, Mount, Restart, Service
from roost.model.schedule import Schedule
from roost.model.serving_config import Metrics, Static
from roost.model.volume import DEFAULT_RETENTION

Groups = tuple[str, ...]  # names of process groups


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """`[build]`: how the image is made when it isn't detected."""

    image: str = ""  # use this image, build nothing
    dockerfile: str = ""  # path below the source directory
    target: str = ""
    builtin: str = ""  # detect as this stack (python, node, ...), whatever else is in the directory
    ignorefile: str = ""  # path below the source directory, in place of .roostignore and .dockerignore
    args: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """`[deploy]`: how a release replaces the one before. Times are seconds."""

    strategy: str = "rolling"  # rolling | immediate | canary | bluegreen
    wait_timeout: float = 300.0
    release_command: str = ""
    release_command_timeout: float = 300.0
    release_command_guest: Guest | None = None  # None: as the web group's machines
    seed_command: str = ""  # after the release command of the app's first release
    max_unavailable: float = 0.33  # a share below 1, or a number of machines; at most one at a time is replaced


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """A throwaway machine that tests a new one: it is told its address, and must exit with 0."""

    image: str = ""  # "": what was built
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    kill_signal: str = ""
    kill_timeout: float = 5.0  # seconds; it is asked to end when `wait_timeout` of the deploy is over


@dataclass(frozen=True, slots=True)
class Backups:
    """How the snapshots of a volume that a deploy makes are kept."""

    retention: int = DEFAULT_RETENTION  # days
    scheduled: bool = True


@dataclass(frozen=True, slots=True)
class AppConfig:
    """One app as its owner wrote it. Services carry the process groups they belong to."""

    app: str = ""
    primary_region: str = ""
    kill_signal: str = ""
    kill_timeout: float = 5.0
    swap_size_mb: int = 0
    console_command: str = ""
    build: BuildSettings = BuildSettings()
    deploy: DeploySettings = DeploySettings()
    env: dict[str, str] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)  # group -> command line; empty: one group "app"
    services: tuple[tuple[Groups, Service], ...] = ()  # http_service comes first
    checks: dict[str, Check] = field(default_factory=dict)
    check_groups: dict[str, Groups] = field(default_factory=dict)  # of the checks that name some
    machine_checks: tuple[tuple[Groups, MachineCheck], ...] = ()  # no groups: the web group
    guests: dict[str, Guest] = field(default_factory=dict)  # group -> size; "" is the default
    restarts: dict[str, Restart] = field(default_factory=dict)  # likewise
    schedules: dict[str, Schedule] = field(default_factory=dict)  # group -> when it runs; "" is the only group
    autoscale: dict[str, AutoscalePolicy] = field(default_factory=dict)  # group -> policy; "" is the only group
    init: Init = field(
        default_factory=Init
    )  # `[experimental]` cmd, entrypoint, exec: what is started in place of the image's own
    mounts: tuple[tuple[Groups, Mount], ...] = ()  # volumes by name; no groups: the web group
    backups: dict[str, Backups] = field(default_factory=dict)  # by volume; without: as by default
    files: tuple[tuple[Groups, File], ...] = ()  # no groups: all
    metrics: tuple[tuple[Groups, Metrics], ...] = ()  # no groups: all
    statics: tuple[Static, ...] = ()  # of the groups with services
    isolation: str = "crun"
    containers: tuple[Container, ...] = ()  # of each machine, where it has several
    volumes: tuple[SharedVolume, ...] = ()  # that they share
    container: str = ""  # the one that runs what was built
    machine_config: dict[str, Any] = field(default_factory=dict)  # the other keys, below what the tables here say
