"""A machine's configuration: the `config` object of the Fly Machines API, as frozen values.

Every key either works or is refused by name; none is silently ignored. Durations are seconds.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from roost.model.errors import BadInput
from roost.model.volume import MAX_GB, check_volume_name, is_volume_id

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SIGNALS = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP", "SIGHUP")
RESERVED_PATHS = ("/", "/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr")
AUTOSTOP = ("off", "stop", "suspend")
MIN_MEMORY_MB = 16
MAX_CPUS = 128
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Guest:
    """What a machine may use. `cpus` counts whole processors, as a limit."""

    cpu_kind: str = "shared"
    cpus: int = 1
    memory_mb: int = 256


@dataclass(frozen=True, slots=True)
class Init:
    """Overrides of what the image starts. `exec` replaces entrypoint and cmd."""

    exec: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False


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
class Restart:
    """What to do when the main process ends."""

    policy: str = "on-failure"  # no | always | on-failure
    max_retries: int = 10  # per 5-minute window (reference, section 1.4)


@dataclass(frozen=True, slots=True)
class StopConfig:
    """How to ask the main process to end, and how long to wait (seconds) before SIGKILL."""

    signal: str = ""  # "": the image's, else SIGINT
    timeout: float = 5.0


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
    init: Init = Init()
    services: tuple[Service, ...] = ()
    checks: dict[str, Check] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()  # at most one
    auto_destroy: bool = False
    restart: Restart = Restart()
    stop_config: StopConfig = StopConfig()
    rootfs_gb: int = 8  # size limit of the writable root
    isolation: str = "crun"  # crun | gvisor


def parse_duration(value: object, where: str) -> float:
    """Return seconds from a Go duration ("1m30s") or a number of seconds; raises BadInput naming `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"{where} must be a duration like '10s'")
    if isinstance(value, int | float):
        if not 0 <= value <= 86_400 * 366:
            raise BadInput(f"{where} must be between 0 and a year")
        return float(value)
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(n + u for n, u in parts) != value:
        raise BadInput(f"{where} must be a duration like '10s', not {value[:40]!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class _Reader:
    """Reads one JSON object key by key, with errors that name the key, and refuses what is left over."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise BadInput(f"{where} must be an object, not {type(data).__name__}")
        self._left = dict(data)
        self._where = where

    def path(self, key: str) -> str:
        return f"{self._where}.{key}"

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def text(self, key: str, default: str = "", *, among: tuple[str, ...] | None = None) -> str:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str) or "\0" in value:
            raise BadInput(f"{self.path(key)} must be a string")
        if among is not None and value not in among:
            raise BadInput(f"{self.path(key)} must be one of {', '.join(among)}, not {value[:40]!r}")
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadInput(f"{self.path(key)} must be a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise BadInput(f"{self.path(key)} must be true or false")
        return value

    def duration(self, key: str, default: float) -> float:
        value = self.take(key)
        return default if value is None else parse_duration(value, self.path(key))

    def words(self, key: str) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) and "\0" not in v for v in value):
            raise BadInput(f"{self.path(key)} must be a list of strings")
        return tuple(value)

    def strings(self, key: str) -> dict[str, str]:
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(
            isinstance(k, str) and isinstance(v, str) and k and "\0" not in k + v for k, v in value.items()
        ):
            raise BadInput(f"{self.path(key)} must be an object of strings")
        return dict(value)

    def items(self, key: str, read: Callable[[object, str], _T]) -> tuple[_T, ...]:
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise BadInput(f"{self.path(key)} must be a list")
        return tuple(read(item, f"{self.path(key)}[{index}]") for index, item in enumerate(value))

    def done(self, *, tolerated: tuple[str, ...] = ()) -> None:
        left = [
            key
            for key, value in self._left.items()
            if key not in tolerated and value not in (None, "", [], {}, False, 0)
        ]
        if left:
            raise BadInput(
                f"{self.path(left[0])} is not supported"
                + (f" (nor {', '.join(sorted(left)[1:])})" if len(left) > 1 else ""),
                hint="remove the key; docs/machines.md lists the keys that work",
            )


def _read_guest(data: object, where: str) -> Guest:
    reader = _Reader(data, where)
    kind = reader.text("cpu_kind", "shared", among=("shared", "performance"))
    cpus = reader.number("cpus", 1, 1, MAX_CPUS)
    guest = Guest(kind, cpus, reader.number("memory_mb", 256 * cpus, MIN_MEMORY_MB, 4_194_304))
    reader.done()
    return guest


def _read_init(data: object, where: str) -> Init:
    reader = _Reader(data, where)
    init = Init(
        exec=reader.words("exec"),
        entrypoint=reader.words("entrypoint"),
        cmd=reader.words("cmd"),
        user=reader.text("user"),
        workdir=reader.text("workdir"),
        tty=reader.flag("tty", False),
    )
    reader.done()
    if init.workdir and not init.workdir.startswith("/"):
        raise BadInput(f"{where}.workdir must be an absolute path")
    return init


def _read_headers(value: object, where: str) -> tuple[tuple[str, str], ...]:
    """Headers come as {name: value}, {name: [values]} or [{name, values}] (clients differ)."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = [{"name": k, "values": v if isinstance(v, list) else [v]} for k, v in value.items()]
    pairs: list[tuple[str, str]] = []
    if not isinstance(value, list):
        raise BadInput(f"{where} must be a list of {{name, values}}")
    for item in value:
        reader = _Reader(item, where)
        name = reader.text("name")
        values = reader.words("values")
        reader.done()
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or any(c in v for v in values for c in "\r\n"):
            raise BadInput(f"{where} holds a header that HTTP does not allow: {name[:40]!r}")
        pairs.extend((name, v) for v in values)
    return tuple(pairs)


def _read_check(data: object, where: str, *, port: int = 0) -> Check:
    reader = _Reader(data, where)
    check = Check(
        port=reader.number("port", port, 0, 65535),
        type=reader.text("type", "tcp", among=("tcp", "http")),
        interval=min(max(reader.duration("interval", 10.0), 0.5), 60.0),
        timeout=min(max(reader.duration("timeout", 2.0), 0.1), 60.0),
        grace_period=reader.duration("grace_period", 5.0),
        method=(reader.text("method", "GET") or "GET").upper(),
        path=reader.text("path", "/") or "/",
        headers=_read_headers(reader.take("headers"), f"{where}.headers"),
    )
    reader.done(tolerated=("kind",))
    if check.port == 0:
        raise BadInput(f"{where}.port is missing")
    if not check.path.startswith("/") or any(ord(c) <= 32 for c in check.path) or not check.method.isalpha():
        raise BadInput(f"{where}: path must begin with '/' and hold no blanks, method must be a word")
    return check


def _read_port(data: object, where: str) -> Port:
    reader = _Reader(data, where)
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
    reader = _Reader(data, where)
    internal_port = reader.number("internal_port", 0, 1, 65535)
    if internal_port == 0:
        raise BadInput(f"{where}.internal_port is missing")
    concurrency = _Reader(reader.take("concurrency") or {}, f"{where}.concurrency")
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


def _read_restart(data: object, where: str) -> Restart:
    reader = _Reader(data, where)
    policy = reader.text("policy", "on-failure", among=("no", "never", "always", "on-failure"))
    restart = Restart("no" if policy == "never" else policy, reader.number("max_retries", 10, 0, 1_000_000))
    reader.done()
    return restart


def _read_stop_config(data: object, where: str) -> StopConfig:
    reader = _Reader(data, where)
    stop = StopConfig(read_signal(reader.take("signal"), f"{where}.signal"), reader.duration("timeout", 5.0))
    reader.done()
    if stop.timeout > 300:
        raise BadInput(f"{where}.timeout must be at most 300 s")
    return stop


def read_signal(value: object, where: str) -> str:
    """Return a signal's name from a name or a number (`flyctl machine kill` sends 9); "" for none."""
    if value in (None, ""):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return signal.Signals(value).name
        except ValueError:
            raise BadInput(f"{where}: {value} is not a signal's number") from None
    if isinstance(value, str):
        name = value.upper() if value.upper().startswith("SIG") else f"SIG{value.upper()}"
        if name in signal.Signals.__members__:
            return name
    raise BadInput(f"{where} must be a signal like SIGTERM")


def read_machine_config(data: object, where: str = "config") -> MachineConfig:
    """Read the API's `config` object; raises BadInput that names the first key that can't be honoured."""
    reader = _Reader(data, where)
    image = reader.text("image")
    if not image:
        raise BadInput(f"{where}.image is missing", hint="name an image, for example roost/base:bookworm")
    checks = reader.take("checks") or {}
    if not isinstance(checks, Mapping):
        raise BadInput(f"{where}.checks must be an object")
    config = MachineConfig(
        image=image,
        guest=_read_guest(reader.take("guest") or {}, f"{where}.guest"),
        env=reader.strings("env"),
        init=_read_init(reader.take("init") or {}, f"{where}.init"),
        services=reader.items("services", _read_service),
        checks={str(name): _read_check(item, f"{where}.checks.{name}") for name, item in checks.items()},
        metadata=reader.strings("metadata"),
        mounts=reader.items("mounts", _read_mount),
        auto_destroy=reader.flag("auto_destroy", False),
        restart=_read_restart(reader.take("restart") or {}, f"{where}.restart"),
        stop_config=_read_stop_config(reader.take("stop_config") or {}, f"{where}.stop_config"),
        rootfs_gb=_read_rootfs(reader.take("rootfs") or {}, f"{where}.rootfs"),
        isolation=reader.text("isolation", "crun", among=("crun", "gvisor")),
    )
    reader.done()
    if len(config.mounts) > 1:
        raise BadInput(f"{where}.mounts: a machine has one volume", hint="put everything on one, or use more machines")
    for key in config.env:
        if "=" in key:
            raise BadInput(f"{where}.env: {key[:40]!r} can't be a variable's name")
    return config


def _read_mount(data: object, where: str) -> Mount:
    reader = _Reader(data, where)
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


def check_mount_path(path: str, where: str) -> str:
    """Return `path`, without a slash at its end, if a volume can be mounted there; raises BadInput naming `where`."""
    path = path.removesuffix("/") or path
    parts = path.split("/")
    plain = all(char.isprintable() for char in path) and "" not in parts[1:] and not {".", ".."} & set(parts)
    if not path.startswith("/") or not plain or len(path) > 4000:
        raise BadInput(f"{where} must be an absolute path without '.', '..' or blank parts, not {path[:40]!r}")
    if path.startswith(("/proc/", "/sys/", "/dev/")) or path in RESERVED_PATHS:
        raise BadInput(f"{where}: nothing can be mounted at {path[:40]!r}", hint="use a directory like /data")
    return path


def _read_rootfs(data: object, where: str) -> int:
    reader = _Reader(data, where)
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
    }
