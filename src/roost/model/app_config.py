"""An app's configuration: what `roost.toml` (the keys of `fly.toml`) says, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field

from roost.model.containers import Container, SharedVolume
from roost.model.machine_config import Check, Guest, Init, Mount, Restart, Service


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """`[build]`: how the image is made when it isn't detected."""

    image: str = ""  # use this image, build nothing
    dockerfile: str = ""  # path below the source directory
    target: str = ""
    builtin: str = ""  # detect as this stack (python, node, ...), whatever else is in the directory
    args: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """`[deploy]`: how a release replaces the one before. `wait_timeout` is seconds."""

    strategy: str = "rolling"  # rolling | immediate
    wait_timeout: float = 300.0
    release_command: str = ""
    release_command_timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class AppConfig:
    """One app as its owner wrote it. Services carry the process groups they belong to."""

    app: str = ""
    primary_region: str = ""
    kill_signal: str = ""
    kill_timeout: float = 5.0
    build: BuildSettings = BuildSettings()
    deploy: DeploySettings = DeploySettings()
    env: dict[str, str] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)  # group -> command line; empty: one group "app"
    services: tuple[tuple[tuple[str, ...], Service], ...] = ()  # (groups, service); http_service comes first
    checks: dict[str, Check] = field(default_factory=dict)
    guests: dict[str, Guest] = field(default_factory=dict)  # group -> size; "" is the default
    restarts: dict[str, Restart] = field(default_factory=dict)  # likewise
    init: Init = field(
        default_factory=Init
    )  # `[experimental]` cmd, entrypoint, exec: what is started in place of the image's own
    mounts: tuple[tuple[tuple[str, ...], Mount], ...] = ()  # (groups, volume by name); no groups: the web group
    isolation: str = "crun"
    containers: tuple[Container, ...] = ()  # of each machine, where it has several
    volumes: tuple[SharedVolume, ...] = ()  # that they share
    container: str = ""  # the one that runs what was built
