"""A machine's configuration: the `config` object of the Fly Machines API, as frozen values.

Every key either works or is refused by name; none is silently ignored. Durations are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from roost.model.config_reading import Reader, duration_text
from roost.model.config_reading import check_mount_path as check_mount_path
from roost.model.config_reading import read_signal as read_signal
from roost.model.containers import Container, Program, SharedVolume, check_containers, parts_of
from roost.model.containers_json import read_container, read_program, read_shared_volume, several_to_json
from roost.model.dns_config import Dns, dns_to_json, read_dns
from roost.model.errors import BadInput
from roost.model.file_config import File, check_files, file_to_json, read_file, read_mount
from roost.model.file_config import Mount as Mount
from roost.model.guest_config import MAX_CPUS as MAX_CPUS
from roost.model.guest_config import MIN_MEMORY_MB as MIN_MEMORY_MB
from roost.model.guest_config import PERSIST, guest_to_json, read_guest
from roost.model.guest_config import Guest as Guest
from roost.model.process_config import Init as Init
from roost.model.process_config import Restart as Restart
from roost.model.process_config import StopConfig as StopConfig
from roost.model.process_config import init_to_json, read_init, read_restart, read_stop_config
from roost.model.schedule import Schedule, read_schedule
from roost.model.service_config import Check as Check
from roost.model.service_config import Port as Port
from roost.model.service_config import Service as Service
from roost.model.service_config import check_to_json, read_check, read_service, service_to_json
from roost.model.service_config import read_autostop as read_autostop
from roost.model.serving_config import Metrics as Metrics
from roost.model.serving_config import Static as Static
from roost.model.serving_config import check_statics, read_metrics, read_static, serving_to_json

MAX_STANDBYS = 16  # machines that one stands in for


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """Everything a machine is asked to be."""

    image: str
    guest: Guest = field(default_factory=Guest)
    env: dict[str, str] = field(default_factory=dict)
    init: Init = field(default_factory=Init)
    services: tuple[Service, ...] = ()
    checks: dict[str, Check] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()  # at most one
    files: tuple[File, ...] = ()
    auto_destroy: bool = False
    restart: Restart = field(default_factory=Restart)
    stop_config: StopConfig = field(default_factory=StopConfig)
    rootfs_gb: int = 8  # size limit of the writable root
    isolation: str = "crun"  # crun | gvisor
    dns: Dns = field(default_factory=Dns)
    containers: tuple[Container, ...] = ()  # several programs in one machine; or else `processes`
    volumes: tuple[SharedVolume, ...] = ()
    processes: tuple[Program, ...] = ()
    metrics: Metrics | None = None
    statics: tuple[Static, ...] = ()  # what the edge serves from the image, without the machine
    schedule: Schedule | None = None
    standbys: tuple[str, ...] = ()  # machines it stands in for when none of them can run
    skip_secrets: bool = False  # it gets none of its app's secrets


def read_machine_config(data: object, where: str = "config") -> MachineConfig:
    """Read the API's `config` object; raises BadInput that names the first key that can't be honoured."""
    reader = Reader(data, where)
    image = reader.text("image")
    containers = reader.items("containers", read_container)
    if not image and containers:
        image = containers[0].image
    if not image:
        raise BadInput(f"{where}.image is missing", hint="name an image, for example roost/base:bookworm")
    checks = reader.take("checks") or {}
    if not isinstance(checks, Mapping):
        raise BadInput(f"{where}.checks must be an object")
    guest = read_guest(reader.take("guest") or {}, f"{where}.guest")
    rootfs_gb, guest = _read_rootfs(reader.take("rootfs") or {}, f"{where}.rootfs", guest)
    config = MachineConfig(
        image=image,
        guest=guest,
        env=reader.strings("env"),
        init=read_init(reader.take("init") or {}, f"{where}.init"),
        services=reader.items("services", read_service),
        checks={str(name): read_check(item, f"{where}.checks.{name}") for name, item in checks.items()},
        metadata=reader.strings("metadata"),
        mounts=reader.items("mounts", read_mount),
        files=reader.items("files", read_file),
        auto_destroy=reader.flag("auto_destroy", False),
        restart=read_restart(reader.take("restart") or {}, f"{where}.restart"),
        stop_config=read_stop_config(reader.take("stop_config") or {}, f"{where}.stop_config"),
        rootfs_gb=rootfs_gb,
        isolation=reader.text("isolation", "crun", among=("crun", "gvisor")),
        dns=read_dns(reader.take("dns") or {}, f"{where}.dns"),
        containers=containers,
        volumes=reader.items("volumes", read_shared_volume),
        processes=reader.items("processes", read_program),
        metrics=read_metrics(reader.take("metrics"), f"{where}.metrics"),
        statics=reader.items("statics", read_static),
        schedule=read_schedule(reader.text("schedule"), reader.text("schedule_timezone"), where),
        standbys=reader.words("standbys"),
        skip_secrets=reader.flag("skip_secrets", False),
    )
    for key, why in _REFUSED.items():
        if reader.take(key) not in (None, False, 0, "", [], {}):
            raise BadInput(f"{where}.{key} is not supported", hint=why)
    reader.done()
    check_containers(config, where)
    _check_schedule(config, where)
    _check_standbys(config, where)
    _check(config, where)
    return config


_REFUSED = {
    "cache_drive": "the writable root is a disk of the server already: remove the key",
    "spot": "nobody else pays for this server: remove the key",
}


def _check(config: MachineConfig, where: str) -> None:
    """Refuse what the keys, each right by itself, ask for together."""
    if len(config.mounts) > 1:
        raise BadInput(f"{where}.mounts: a machine has one volume", hint="put everything on one, or use more machines")
    for key in config.env:
        if "=" in key:
            raise BadInput(f"{where}.env: {key[:40]!r} can't be a variable's name")
    check_files(config.files, config.mounts, where)
    check_statics(config.statics, f"{where}.statics")
    if config.skip_secrets and (key := _wants_secret(config)):
        raise BadInput(f"{where}.{key}: the machine gets no secrets", hint="remove it, or skip_secrets")


def _wants_secret(config: MachineConfig) -> str:
    """Return the first key that names a secret of the app, "" when none does."""
    several = (("containers", config.containers), ("processes", parts_of(config) if config.processes else ()))
    programs = [(f"{key}[{n}].", one) for key, found in several for n, one in enumerate(found)]
    named = [f"{at}secrets" for at, one in programs if one.secrets]
    files = [("", config.files), *((at, one.files) for at, one in programs)]
    named += [f"{at}files[{n}].secret_name" for at, found in files for n, file in enumerate(found) if file.secret_name]
    return next(iter(named), "")


def _check_schedule(config: MachineConfig, where: str) -> None:
    """Refuse what a machine that runs at times can't be as well."""
    if config.schedule is None:
        return
    if config.services:
        raise BadInput(
            f"{where}.services: a machine with a schedule gets no requests",
            hint="remove services or schedule; what serves and what runs at times are two machines",
        )
    if config.auto_destroy:
        raise BadInput(f"{where}.auto_destroy: a machine with a schedule is run again", hint="remove one of the keys")
    if config.restart.policy == "always":
        raise BadInput(
            f"{where}.restart.policy: a run of a machine with a schedule must be able to end", hint="use on-failure"
        )


def _check_standbys(config: MachineConfig, where: str) -> None:
    """Refuse what can't be the ids of machines to stand in for."""
    if not config.standbys:
        return
    if config.schedule is not None or config.auto_destroy:
        other = "auto_destroy" if config.auto_destroy else "schedule"
        raise BadInput(f"{where}.{other}: a standby is started when others fail", hint=f"remove standbys or {other}")
    if len(config.standbys) > MAX_STANDBYS or len(set(config.standbys)) != len(config.standbys):
        raise BadInput(f"{where}.standbys takes {MAX_STANDBYS} machines at most, each once")
    for index, machine_id in enumerate(config.standbys):
        if not re.fullmatch("[0-9a-f]{14}", machine_id):
            raise BadInput(
                f"{where}.standbys[{index}]: {machine_id[:40]!r} is not a machine's id",
                hint="`roost machine list` shows the ids",
            )


def _read_rootfs(data: object, where: str, guest: Guest) -> tuple[int, Guest]:
    """Return the root's size, and the guest with `persist`, which is `guest.persist_rootfs` by another name."""
    reader = Reader(data, where)
    size = reader.number("size_gb", 8, 1, 10_000)
    persist = reader.text("persist", "", among=("", *PERSIST))
    reader.done()
    if persist and guest.persist_rootfs not in ("never", persist):
        raise BadInput(f"{where}.persist and guest.persist_rootfs differ", hint="send one of them")
    return size, replace(guest, persist_rootfs=persist) if persist else guest


def machine_config_to_json(config: MachineConfig) -> dict[str, Any]:
    """Return the API's form; `read_machine_config` of it gives an equal value."""
    return (
        {
            "image": config.image,
            "guest": guest_to_json(config.guest),
            "env": dict(config.env),
            "init": init_to_json(config.init),
            "services": [service_to_json(s) for s in config.services],
            "checks": {name: check_to_json(c) for name, c in config.checks.items()},
            "metadata": dict(config.metadata),
            "mounts": [{key: value for key, value in asdict(mount).items() if value} for mount in config.mounts],
            "files": [file_to_json(file) for file in config.files],
            "auto_destroy": config.auto_destroy,
            "restart": {"policy": config.restart.policy, "max_retries": config.restart.max_retries},
            "stop_config": {"signal": config.stop_config.signal, "timeout": duration_text(config.stop_config.timeout)},
            "rootfs": {"size_gb": config.rootfs_gb},
            "isolation": config.isolation,
            "dns": dns_to_json(config.dns),
        }
        | several_to_json(config)
        | serving_to_json(config.metrics, config.statics)
        | _rarer_to_json(config)
    )


def _rarer_to_json(config: MachineConfig) -> dict[str, Any]:
    out: dict[str, Any] = {"standbys": list(config.standbys)} if config.standbys else {}
    if config.skip_secrets:
        out["skip_secrets"] = True
    if config.schedule is not None:
        out |= {"schedule": config.schedule.expression, "schedule_timezone": config.schedule.timezone}
    return out
