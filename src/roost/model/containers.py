"""Several containers in one machine: what the machine's `containers`, `volumes` and `processes` ask for.

Every key either works or is refused by name. `parts_of` gives the containers that a machine is made of,
whichever way they were asked for; a machine without any is one program, as most are. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from roost.model.errors import BadInput
from roost.model.file_config import File, check_files
from roost.model.process_config import Init, Restart, StopConfig

if TYPE_CHECKING:
    from roost.model.machine_config import MachineConfig

CONDITIONS = ("started", "healthy", "exited_successfully")
STORAGE = ("disk", "memory")
MAX_CONTAINERS = 32
MAX_VOLUME_MB = 1_048_576
FIELDS = ("id", "version", "app_name", "private_ip", "region", "image")  # of `env_from`


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a container waits for before its first start."""

    name: str
    condition: str = "started"  # started | healthy | exited_successfully


@dataclass(frozen=True, slots=True)
class ContainerMount:
    """A volume of the machine's `volumes`, and where the container sees it."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How to find out whether a container works. An `exec` runs inside it; the others ask a port of the machine.

    A `liveness` check with `unhealthy: stop` ends the container, and its restart policy decides on.
    """

    name: str
    type: str  # tcp | http | exec
    port: int = 0
    command: tuple[str, ...] = ()
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    interval: float = 10.0
    timeout: float = 5.0
    grace_period: float = 5.0
    success_threshold: int = 1
    failure_threshold: int = 3
    kind: str = "readiness"  # readiness | liveness
    unhealthy: str = ""  # "" | stop


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """A secret of the app, and the variable that holds it; "": named as the secret is."""

    env_var: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class FieldVariable:
    """A variable that holds something of the machine's own."""

    env_var: str
    field_ref: str


@dataclass(frozen=True, slots=True)
class Container:
    """One program of several in a machine, with a root of its own."""

    name: str
    image: str = ""  # "": the machine's
    image_digest: str = ""  # what `image` named when the machine was made; "": the machine's
    exec: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[SecretVariable, ...] | None = None  # None: all of the app's
    env_from: tuple[FieldVariable, ...] = ()
    restart: Restart | None = None  # None: the machine's
    stop: StopConfig | None = None  # None: the machine's
    depends_on: tuple[Dependency, ...] = ()
    healthchecks: tuple[Healthcheck, ...] = ()
    mounts: tuple[ContainerMount, ...] = ()
    files: tuple[File, ...] = ()  # beyond the machine's, and in place of those of the same path


@dataclass(frozen=True, slots=True)
class SharedVolume:
    """A directory that the machine's containers share.

    One with a size is empty at first and lasts until the machine stops; one of an image is read-only.
    """

    name: str
    storage_type: str = ""  # disk | memory
    size_mb: int = 0
    image: str = ""
    image_digest: str = ""  # what `image` named when the machine was made


@dataclass(frozen=True, slots=True)
class Program:
    """One of a machine's `processes`: made from the machine's image."""

    exec: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[SecretVariable, ...] | None = None
    env_from: tuple[FieldVariable, ...] = ()
    ignore_app_secrets: bool = False


def parts_of(config: MachineConfig) -> tuple[Container, ...]:
    """Return the containers that a machine is made of; none for one that is a single program."""
    if config.containers:
        return config.containers
    return tuple(
        Container(
            name=f"process-{number}",
            exec=program.exec,
            entrypoint=program.entrypoint,
            cmd=program.cmd,
            user=program.user,
            env=program.env,
            secrets=() if program.ignore_app_secrets and program.secrets is None else program.secrets,
            env_from=program.env_from,
        )
        for number, program in enumerate(config.processes)
    )


def with_digests(config: MachineConfig, digests: Mapping[str, str]) -> MachineConfig:
    """Return the configuration with each image of its containers pinned: `digests` maps references to digests."""
    containers = (replace(one, image_digest=digests.get(one.image, "")) for one in config.containers)
    volumes = (replace(one, image_digest=digests.get(one.image, "")) for one in config.volumes)
    return replace(config, containers=tuple(containers), volumes=tuple(volumes))


def check_containers(config: MachineConfig, where: str) -> None:
    """Raise BadInput where the containers of a machine don't fit together, or with the rest of its configuration."""
    parts = parts_of(config)
    if config.containers and config.processes:
        raise BadInput(f"{where}: containers and processes are both given", hint="make each process a container")
    if config.volumes and not config.containers:
        raise BadInput(f"{where}.volumes is for containers, and there are none", hint="use mounts for a kept volume")
    if not parts:
        return
    if len(parts) > MAX_CONTAINERS:
        raise BadInput(f"{where}: a machine can have {MAX_CONTAINERS} containers, not {len(parts)}")
    if config.init != Init():
        raise BadInput(f"{where}.init has no effect on a machine with containers", hint="set it on the container")
    if config.isolation != "crun":
        raise BadInput(
            f"{where}.isolation: several containers can't share a machine under {config.isolation}",
            hint='use isolation "crun", or one machine for each',
        )
    _unique((one.name for one in parts), f"{where}.containers")
    _unique((one.name for one in config.volumes), f"{where}.volumes")
    for index, one in enumerate(config.containers):
        _check_mounts(config, one, f"{where}.containers[{index}]")
        _check_dependencies(config, one, f"{where}.containers[{index}]")
        _unique((check.name for check in one.healthchecks), f"{where}.containers[{index}].healthchecks")
        check_files(one.files, config.mounts, f"{where}.containers[{index}]")
    if cycle := _cycle(config.containers):
        raise BadInput(f"{where}.containers wait for each other: {' → '.join(cycle)}", hint="break the circle")


def _check_mounts(config: MachineConfig, one: Container, where: str) -> None:
    shared = {volume.name for volume in config.volumes}
    for index, mount in enumerate(one.mounts):
        if mount.name not in shared:
            raise BadInput(
                f"{where}.mounts[{index}].name: there is no volume {mount.name[:40]!r}",
                hint="config.volumes says which there are: " + (", ".join(sorted(shared)) or "none"),
            )
    _unique([*(mount.path for mount in one.mounts), *(mount.path for mount in config.mounts)], f"{where}.mounts")


def _check_dependencies(config: MachineConfig, one: Container, where: str) -> None:
    others = {other.name: other for other in config.containers}
    for index, need in enumerate(one.depends_on):
        at = f"{where}.depends_on[{index}]"
        other = others.get(need.name)
        if other is None:
            raise BadInput(
                f"{at}.name: there is no container {need.name[:40]!r}", hint=f"there are {', '.join(others)}"
            )
        if need.condition == "healthy" and not other.healthchecks:
            raise BadInput(f"{at}: {need.name} has no healthchecks, so it is never healthy", hint="add one to it")
        if need.condition == "exited_successfully" and (other.restart or config.restart).policy == "always":
            raise BadInput(
                f"{at}: {need.name} is restarted always, so it never ends",
                hint='set its restart.policy to "on-failure"',
            )


def _cycle(containers: tuple[Container, ...]) -> list[str]:
    """Return the names along a circle of dependencies, the first one twice; none when there is no circle."""
    needs = {one.name: [need.name for need in one.depends_on] for one in containers}
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for need in needs.get(name, ()):
            if found := walk(need, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in needs if (found := walk(name, []))), [])


def _unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"{where}: {name[:40]!r} is there twice")
        seen.add(name)
