"""A machine's configuration: the `config` object of the Fly Machines API, as frozen values.

Every key either works or is refused by name; none is silently ignored. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from roost.model.config_reading import Reader, read_headers
from roost.model.config_reading import check_mount_path as check_mount_path
from roost.model.config_reading import parse_duration as parse_duration
from roost.model.config_reading import read_signal as read_signal
from roost.model.containers import Container, Program, SharedVolume, check_containers
from roost.model.containers_json import read_container, read_program, read_shared_volume, several_to_json
from roost.model.dns_config import Dns, dns_to_json, read_dns
from roost.model.errors import BadInput
from roost.model.process_config import Init as Init
from roost.model.process_config import Restart as Restart
from roost.model.process_config import StopConfig as StopConfig
from roost.model.process_config import read_init, read_restart, read_stop_config
from roost.model.volume import MAX_GB, check_volume_name, is_volume_id

SIGNALS = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP", "SIGHUP")
AUTOSTOP = ("off", "stop", "suspend")
MIN_MEMORY_MB = 16
MAX_CPUS = 128


@dataclass(frozen=True, slots=True)
class Guest:
    """What a machine may use. `cpus` counts whole processors, as a limit."""

    cpu_kind: str = "shared"
    cpus: int = 1
    memory_mb: int = 256


@dataclass(frozen=True, slots=True)
class Check:
    """A health check of a port. `grace_period` counts from the start of the machine."""

    port: int
    type: str = "tcp"  # tcp | http
    interval: float = 10.0
    timeout: float = 2.0
    grace_period: float = 5.0
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A public port of a service and how the edge handles it."""

    port: int
    handlers: tuple[str, ...] = ()
    force_https: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A port of the machine that the edge serves."""

    internal_port: int
    protocol: str = "tcp"
    ports: tuple[Port, ...] = ()
    autostop: str = "off"
    autostart: bool = True
    min_machines_running: int = 0
    idle_timeout: float = 300.0  # our addition: seconds without a request before autostop acts
    concurrency_type: str = "requests"
    soft_limit: int = 0  # 0: no limit
    hard_limit: int = 0
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume of the app, by id or (a free one) by name, and where the machine sees it."""

    path: str
    volume: str = ""  # id
    name: str = ""
    size_gb: int = 0  # the volume must have at least this; a deploy makes one of this size


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """Everything a machine is asked to be."""

    image: str
    guest: Guest = Guest()
    env: dict[str, str] = field(default_factory=dict)
    init: Init = field(default_factory=Init)
    services: tuple[Service, ...] = ()
    checks: dict[str, Check] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()  # at most one
    auto_destroy: bool = False
    restart: Restart = field(default_factory=Restart)
    stop_config: StopConfig = field(default_factory=StopConfig)
    rootfs_gb: int = 8  # size limit of the writable root
    isolation: str = "crun"  # crun | gvisor
    dns: Dns = field(default_factory=Dns)
    containers: tuple[Container, ...] = ()  # several programs in one machine; or else `processes`
    volumes: tuple[SharedVolume, ...] = ()
    processes: tuple[Program, ...] = ()


def _read_guest(data: object, where: str) -> Guest:
    reader = Reader(data, where)
    kind = reader.text("cpu_kind", "shared", among=("shared", "performance"))
    cpus = reader.number("cpus", 1, 1, MAX_CPUS)
    guest = Guest(kind, cpus, reader.number("memory_mb", 256 * cpus, MIN_MEMORY_MB, 4_194_304))
    reader.done()
    return guest


def _read_check(data: object, where: str, *, port: int = 0) -> Check:
    reader = Reader(data, where)
    check = Check(
        port=reader.number("port", port, 0, 65535),
        type=reader.text("type", "tcp", among=("tcp", "http")),
        interval=min(max(reader.duration("interval", 10.0), 0.5), 60.0),
        timeout=min(max(reader.duration("timeout", 2.0), 0.1), 60.0),
        grace_period=reader.duration("grace_period", 5.0),
        method=(reader.text("method", "GET") or "GET").upper(),
        path=reader.text("path", "/") or "/",
        headers=read_headers(reader.take("headers"), f"{where}.headers"),
    )
    reader.done(tolerated=("kind",))
    if check.port == 0:
        raise BadInput(f"{where}.port is missing")
    if not check.path.startswith("/") or any(ord(c) <= 32 for c in check.path) or not check.method.isalpha():
        raise BadInput(f"{where}: path must begin with '/' and hold no blanks, method must be a word")
    return check


def _read_port(data: object, where: str) -> Port:
    reader = Reader(data, where)
    port = Port(
        port=reader.number("port", 0, 1, 65535),
        handlers=reader.words("handlers"),
        force_https=reader.flag("force_https", False),
    )
    reader.done()
    if port.port == 0:
        raise BadInput(f"{where}.port is missing")
    unknown = [h for h in port.handlers if h not in ("http", "tls")]
    if unknown:
        raise BadInput(f"{where}.handlers: {unknown[0][:40]!r} is not supported", hint="use http and tls")
    return port


def read_autostop(value: object, where: str) -> str:
    """Return off, stop or suspend; clients also send false (off) and true (stop) (reference, section 1.7)."""
    if value is None or value is False:
        return "off"
    if value is True:
        return "stop"
    if value in AUTOSTOP:
        return str(value)
    raise BadInput(f"{where} must be one of {', '.join(AUTOSTOP)}")


def _read_service(data: object, where: str) -> Service:
    reader = Reader(data, where)
    internal_port = reader.number("internal_port", 0, 1, 65535)
    if internal_port == 0:
        raise BadInput(f"{where}.internal_port is missing")
    concurrency = Reader(reader.take("concurrency") or {}, f"{where}.concurrency")
    service = Service(
        internal_port=internal_port,
        protocol=reader.text("protocol", "tcp", among=("tcp",)),
        ports=reader.items("ports", _read_port),
        autostop=read_autostop(reader.take("autostop"), f"{where}.autostop"),
        autostart=reader.flag("autostart", True),
        min_machines_running=reader.number("min_machines_running", 0, 0, 1000),
        idle_timeout=reader.duration("idle_timeout", 300.0),
        concurrency_type=concurrency.text("type", "requests", among=("requests", "connections")),
        soft_limit=concurrency.number("soft_limit", 0, 0, 1_000_000),
        hard_limit=concurrency.number("hard_limit", 0, 0, 1_000_000),
        checks=reader.items("checks", lambda item, at: _read_check(item, at, port=internal_port)),
    )
    concurrency.done()
    reader.done()
    return service


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
    config = MachineConfig(
        image=image,
        guest=_read_guest(reader.take("guest") or {}, f"{where}.guest"),
        env=reader.strings("env"),
        init=read_init(reader.take("init") or {}, f"{where}.init"),
        services=reader.items("services", _read_service),
        checks={str(name): _read_check(item, f"{where}.checks.{name}") for name, item in checks.items()},
        metadata=reader.strings("metadata"),
        mounts=reader.items("mounts", _read_mount),
        auto_destroy=reader.flag("auto_destroy", False),
        restart=read_restart(reader.take("restart") or {}, f"{where}.restart"),
        stop_config=read_stop_config(reader.take("stop_config") or {}, f"{where}.stop_config"),
        rootfs_gb=_read_rootfs(reader.take("rootfs") or {}, f"{where}.rootfs"),
        isolation=reader.text("isolation", "crun", among=("crun", "gvisor")),
        dns=read_dns(reader.take("dns") or {}, f"{where}.dns"),
        containers=containers,
        volumes=reader.items("volumes", read_shared_volume),
        processes=reader.items("processes", read_program),
    )
    reader.done()
    check_containers(config, where)
    if len(config.mounts) > 1:
        raise BadInput(f"{where}.mounts: a machine has one volume", hint="put everything on one, or use more machines")
    for key in config.env:
        if "=" in key:
            raise BadInput(f"{where}.env: {key[:40]!r} can't be a variable's name")
    return config


def _read_mount(data: object, where: str) -> Mount:
    reader = Reader(data, where)
    volume, name = reader.text("volume"), reader.text("name")
    if volume and not is_volume_id(volume):  # clients also send a name here
        if name not in ("", volume):
            raise BadInput(f"{where}.volume and {where}.name differ", hint="send one of them")
        volume, name = "", volume
    if not volume and not name:
        raise BadInput(f"{where}.volume is missing", hint="name a volume: `roost volumes list` shows them")
    if name:
        try:
            check_volume_name(name)
        except BadInput as error:
            raise BadInput(f"{where}: {error.message}", hint=error.hint) from None
    path = check_mount_path(reader.text("path"), f"{where}.path")
    mount = Mount(path, volume, name, reader.number("size_gb", 0, 0, MAX_GB))
    if reader.flag("encrypted", False):
        raise BadInput(f"{where}.encrypted is not supported", hint="encrypt the server's disk")
    reader.done()
    return mount


def _read_rootfs(data: object, where: str) -> int:
    reader = Reader(data, where)
    size = reader.number("size_gb", 8, 1, 10_000)
    reader.done()
    return size


def machine_config_to_json(config: MachineConfig) -> dict[str, Any]:
    """Return the API's form; `read_machine_config` of it gives an equal value."""

    def check(c: Check) -> dict[str, Any]:
        out: dict[str, Any] = {
            "port": c.port,
            "type": c.type,
            "interval": f"{c.interval:g}s",
            "timeout": f"{c.timeout:g}s",
            "grace_period": f"{c.grace_period:g}s",
        }
        if c.type == "http":
            out |= {"method": c.method, "path": c.path}
            out["headers"] = [{"name": n, "values": [v]} for n, v in c.headers]
        return out

    def service(s: Service) -> dict[str, Any]:
        out: dict[str, Any] = {
            "protocol": s.protocol,
            "internal_port": s.internal_port,
            "autostop": s.autostop,
            "autostart": s.autostart,
            "min_machines_running": s.min_machines_running,
            "idle_timeout": f"{s.idle_timeout:g}s",
            "ports": [
                {"port": p.port, "handlers": list(p.handlers)} | ({"force_https": True} if p.force_https else {})
                for p in s.ports
            ],
            "checks": [check(c) for c in s.checks],
        }
        if s.soft_limit or s.hard_limit:
            out["concurrency"] = {"type": s.concurrency_type, "soft_limit": s.soft_limit, "hard_limit": s.hard_limit}
        return out

    init = {
        key: value
        for key, value in {
            "exec": list(config.init.exec),
            "entrypoint": list(config.init.entrypoint),
            "cmd": list(config.init.cmd),
            "user": config.init.user,
            "workdir": config.init.workdir,
            "tty": config.init.tty,
        }.items()
        if value
    }
    guest = config.guest
    return {
        "image": config.image,
        "guest": {"cpu_kind": guest.cpu_kind, "cpus": guest.cpus, "memory_mb": guest.memory_mb},
        "env": dict(config.env),
        "init": init,
        "services": [service(s) for s in config.services],
        "checks": {name: check(c) for name, c in config.checks.items()},
        "metadata": dict(config.metadata),
        "mounts": [{key: value for key, value in asdict(mount).items() if value} for mount in config.mounts],
        "auto_destroy": config.auto_destroy,
        "restart": {"policy": config.restart.policy, "max_retries": config.restart.max_retries},
        "stop_config": {"signal": config.stop_config.signal, "timeout": f"{config.stop_config.timeout:g}s"},
        "rootfs": {"size_gb": config.rootfs_gb},
        "isolation": config.isolation,
        "dns": dns_to_json(config.dns),
    } | several_to_json(config)
