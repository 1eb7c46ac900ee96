"""Reads `roost.toml`, `fly.toml` and their JSON forms into an AppConfig. Pure.

Every key either works, or gives a warning that names it; a wrong type or value is BadInput with the
key and, where it can be told, the line. The other directions are next door: `app_config_write` (back
to JSON and TOML) and `app_config_machines` (to machines); their functions can be imported from here.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import PurePosixPath

from roost.model.app_config import AppConfig, BuildSettings, DeploySettings
from roost.model.app_config_containers import Load, read_containers
from roost.model.app_config_machines import machine_configs, shell_argv
from roost.model.app_config_table import Origin, Table
from roost.model.app_config_write import app_config_to_json, propose_app_config, write_app_config
from roost.model.errors import BadInput
from roost.model.machine_config import (
    MAX_CPUS,
    MIN_MEMORY_MB,
    Check,
    Guest,
    Init,
    Mount,
    Port,
    Restart,
    Service,
    check_mount_path,
    read_autostop,
    read_signal,
)
from roost.model.names import check_app_name
from roost.model.volume import DEFAULT_GB, MAX_GB, check_volume_name

__all__ = [
    "app_config_from_json",
    "app_config_to_json",
    "machine_configs",
    "propose_app_config",
    "read_app_config",
    "shell_argv",
    "write_app_config",
]

_MAX_TEXT = 1 << 20
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_SIZE = re.compile(r"(shared|performance)(?:-cpu)?-(\d{1,3})x")
_MEMORY = re.compile(r"(\d{1,9})\s*(kb|mb|gb|k|m|g|kib|mib|gib)?", re.IGNORECASE)
_VOLUME_SIZE = re.compile(r"(\d{1,5})\s*(?:g|gb|gib)?", re.IGNORECASE)
_BUILTINS = ("python", "node", "static", "go", "ruby", "php", "dockerfile")


def read_app_config(text: str, *, name: str, load: Load | None = None) -> tuple[AppConfig, list[str]]:
    """Read a configuration file's text; `name` is its path (JSON when it ends in .json).

    `load` gives the text of a file that it names.

    Returns the configuration and warnings for the writer. In `fly.toml` a service without
    `auto_stop_machines` never sleeps, as on Fly; elsewhere it is suspended when idle.
    Raises BadInput.
    """
    if len(text) > _MAX_TEXT:
        raise BadInput(f"{name} is larger than 1 MiB", hint="keep only the configuration in it")
    origin = Origin(name, text if not name.endswith(".json") else "")
    data = _parse(text, name)
    of_fly = PurePosixPath(name).name.startswith("fly.")
    config = _read(Table(data, "", "", origin), autostop="off" if of_fly else "suspend", load=load)
    return config, origin.warnings


def app_config_from_json(data: object) -> AppConfig:
    """Read the JSON form that `app_config_to_json` writes; raises BadInput, also for a key that has no effect."""
    origin = Origin("config")
    config = _read(Table(data, "", "", origin), autostop="suspend")
    if origin.warnings:
        raise BadInput(origin.warnings[0], hint="remove the key")
    return config


def _parse(text: str, name: str) -> object:
    try:
        return json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{name} is not valid TOML: {error}", hint="correct the line") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is not valid JSON: {error}", hint="correct the line") from None


def _read(top: Table, *, autostop: str, load: Load | None = None) -> AppConfig:
    app = top.text("app")
    if app:
        check_app_name(app)
    processes = top.strings("processes")
    for group in processes:
        if not _GROUP.fullmatch(group):
            raise top.refuse(f"processes.{group}", "is not a process group's name: use letters, digits, - and _")
    containers, volumes, built = read_containers(top, load)
    vms, restarts = top.tables("vm", "vm"), top.tables("restart", "restart")
    config = AppConfig(
        app=app,
        primary_region=top.text("primary_region"),
        kill_signal=read_signal(top.take("kill_signal"), top.origin.at("kill_signal")),
        kill_timeout=top.duration("kill_timeout", 5.0),
        build=_read_build(top.table("build", "build")),
        deploy=_read_deploy(top.table("deploy", "deploy"), mounts=top.has("mounts")),
        env=_read_env(top),
        processes=processes,
        services=_read_services(top, autostop),
        checks=_read_checks(top),
        guests={group: guest for vm in vms for group, guest in _read_guest(vm)},
        restarts={group: restart for item in restarts for group, restart in _read_restart(item)},
        init=_read_init(top.table("experimental", "experimental")),
        mounts=_read_mounts(top),
        isolation=top.text("isolation", "crun", among=("crun", "gvisor")),
        containers=containers,
        volumes=volumes,
        container=built,
    )
    if containers and config.isolation != "crun":
        raise top.refuse("isolation", "must be crun where a machine has several containers")
    if config.kill_timeout > 300:
        raise top.refuse("kill_timeout", "must be at most 300 s")
    top.done()
    _check_groups(config, top)
    return config


def _check_groups(config: AppConfig, top: Table) -> None:
    """Refuse groups that `[processes]` does not have, where there is such a table."""
    if not config.processes:
        return
    named = [("http_service" if i == 0 else "services", g) for i, (gs, _) in enumerate(config.services) for g in gs]
    named += [("mounts", g) for gs, _ in config.mounts for g in gs]
    named += [("vm", g) for g in config.guests if g] + [("restart", g) for g in config.restarts if g]
    for section, group in named:
        if group not in config.processes:
            known = ", ".join(sorted(config.processes))
            raise top.refuse(
                section, f"names the process group {group[:40]!r}, which [processes] does not have ({known})"
            )
    if len(config.processes) > 1 and "app" not in config.processes:
        for index, (groups, _) in enumerate(config.services):
            if not groups:
                section = "http_service" if index == 0 else "services"
                raise top.refuse(section, "must say which of the process groups it serves", 'add processes = ["..."]')


def _read_build(table: Table) -> BuildSettings:
    settings = BuildSettings(
        image=table.text("image"),
        dockerfile=table.text("dockerfile"),
        target=table.text("build-target"),
        builtin=table.text("builtin", among=_BUILTINS),
        args=table.strings("args"),
    )
    parts = settings.dockerfile.split("/")
    if settings.dockerfile.startswith("/") or ".." in parts or "://" in settings.dockerfile:
        raise table.refuse("dockerfile", "must be a path below the source directory")
    table.done()
    return settings


def _read_deploy(table: Table, *, mounts: bool) -> DeploySettings:
    strategy = table.text("strategy", "rolling", among=("rolling", "immediate", "canary", "bluegreen"))
    if strategy in ("canary", "bluegreen"):
        if mounts:
            raise table.refuse(
                "strategy",
                f"can't be {strategy!r} for an app with [mounts]: a volume belongs to one machine at a time",
                'use "rolling": the machine is stopped, then started as the new release',
            )
        table.origin.warn("deploy.strategy", f"{strategy!r} is not supported yet: rolling is used")
        strategy = "rolling"
    settings = DeploySettings(
        strategy=strategy,
        wait_timeout=table.duration("wait_timeout", 300.0),
        release_command=table.text("release_command"),
        release_command_timeout=table.duration("release_command_timeout", 300.0),
    )
    table.done()
    return settings


def _read_mounts(top: Table) -> tuple[tuple[tuple[str, ...], Mount], ...]:
    mounts = []
    for table in top.tables("mounts", "mounts"):
        source, destination = table.text("source"), table.text("destination")
        size = table.take("initial_size")
        match = _VOLUME_SIZE.fullmatch(str(size)) if isinstance(size, int | str) and size is not True else None
        if size is not None and (not match or not 1 <= int(match[1]) <= MAX_GB):
            raise table.refuse("initial_size", f"must be a size from 1gb to {MAX_GB}gb")
        try:
            check_volume_name(source)
        except BadInput as error:
            raise table.refuse("source", f"can't be the name of a volume: {error.message}", error.hint) from None
        destination = check_mount_path(destination, top.origin.at(table.path("destination")))
        mount = Mount(destination, name=source, size_gb=int(match[1]) if match else DEFAULT_GB)
        mounts.append((table.words("processes"), mount))
        table.done()
    return tuple(mounts)


def _read_env(top: Table) -> dict[str, str]:
    env = top.strings("env")
    for key in env:
        if "=" in key:
            raise top.refuse(f"env.{key}", "can't be a variable's name")
        if key.startswith(("FLY_", "ROOST_")):
            raise top.refuse(f"env.{key}", "is reserved: FLY_* and ROOST_* are set by the cloud")
    return env


def _read_init(table: Table) -> Init:
    init = Init(exec=table.words("exec"), entrypoint=table.words("entrypoint"), cmd=table.words("cmd"))
    table.done()
    return init


def _read_services(top: Table, autostop: str) -> tuple[tuple[tuple[str, ...], Service], ...]:
    services = [_read_http_service(table, autostop) for table in top.tables("http_service", "http_service")]
    services += [_read_service(table) for table in top.tables("services", "services")]
    return tuple(services)


def _read_http_service(table: Table, autostop: str) -> tuple[tuple[str, ...], Service]:
    port = table.number("internal_port", 8080, 1, 65535)
    https = table.flag("force_https", False)
    ports = (Port(80, ("http",), https), Port(443, ("tls", "http")))
    checks = tuple(_read_check(check, port, "http") for check in table.tables("checks", "check"))
    return _finish_service(table, port, ports, checks, autostop)


def _read_service(table: Table) -> tuple[tuple[str, ...], Service]:
    table.text("protocol", "tcp", among=("tcp",))
    port = table.number("internal_port", 8080, 1, 65535)
    https = table.flag("force_https", False)
    ports = []
    for item in table.tables("ports", "services.ports"):
        handlers = item.words("handlers")
        if unknown := [h for h in handlers if h not in ("http", "tls")]:
            raise item.refuse("handlers", f"{unknown[0][:40]!r} is not supported", "use http and tls")
        ports.append(Port(item.number("port", 80, 1, 65535), handlers, item.flag("force_https", https)))
        item.done()
    checks = tuple(
        _read_check(check, port, kind) for kind in ("tcp", "http") for check in table.tables(f"{kind}_checks", "check")
    )
    return _finish_service(table, port, tuple(ports), checks, "off")


def _finish_service(
    table: Table, port: int, ports: tuple[Port, ...], checks: tuple[Check, ...], autostop: str
) -> tuple[tuple[str, ...], Service]:
    """Read the keys that `[http_service]` and `[[services]]` share."""
    concurrency = table.table("concurrency", "concurrency")
    asked = table.take("auto_stop_machines")
    service = Service(
        internal_port=port,
        ports=ports,
        autostop=autostop if asked is None else read_autostop(asked, table.origin.at(table.path("auto_stop_machines"))),
        autostart=table.flag("auto_start_machines", True),
        min_machines_running=table.number("min_machines_running", 0, 0, 1000),
        idle_timeout=table.duration("auto_stop_after", 300.0),
        concurrency_type=concurrency.text("type", "requests", among=("requests", "connections")),
        soft_limit=concurrency.number("soft_limit", 0, 0, 1_000_000),
        hard_limit=concurrency.number("hard_limit", 0, 0, 1_000_000),
        checks=checks,
    )
    groups = table.words("processes")
    concurrency.done()
    table.done()
    return groups, service


def _read_check(table: Table, port: int, kind: str) -> Check:
    check = Check(
        port=table.number("port", port, 1, 65535),
        type=table.text("type", kind, among=("tcp", "http")),
        interval=min(max(table.duration("interval", 10.0), 0.5), 60.0),
        timeout=min(max(table.duration("timeout", 2.0), 0.1), 60.0),
        grace_period=table.duration("grace_period", 5.0),
        method=table.text("method", "GET").upper() or "GET",
        path=table.text("path", "/") or "/",
        headers=_read_headers(table),
    )
    if not check.path.startswith("/") or any(ord(char) <= 32 for char in check.path):
        raise table.refuse("path", "must begin with '/' and hold no blanks")
    if not check.method.isalpha():
        raise table.refuse("method", "must be an HTTP method like GET")
    table.done()
    return check


def _read_headers(table: Table) -> tuple[tuple[str, str], ...]:
    headers = tuple(table.strings("headers").items())
    for name, value in headers:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or "\r" in value or "\n" in value:
            raise table.refuse("headers", f"holds a header that HTTP does not allow: {name[:40]!r}")
    return headers


def _read_checks(top: Table) -> dict[str, Check]:
    data = top.take("checks")
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise top.refuse("checks", "must be a table of checks, each with a name: [checks.NAME]")
    checks = {}
    for name, item in data.items():
        table = Table(item, f"checks.{name}", "checks", top.origin)
        table.words("processes")
        checks[str(name)] = _read_check(table, 8080, "tcp")
    return checks


def _read_guest(table: Table) -> list[tuple[str, Guest]]:
    size = table.text("size", "shared-cpu-1x")
    match = _SIZE.fullmatch(size)
    if not match:
        raise table.refuse("size", f"{size[:40]!r} is not a machine size", "use a size like shared-cpu-1x")
    kind = table.text("cpu_kind", match[1], among=("shared", "performance"))
    cpus = table.number("cpus", int(match[2]), 1, MAX_CPUS)
    memory = _read_memory(table, (256 if kind == "shared" else 2048) * cpus)
    groups = table.words("processes") or ("",)
    table.done()
    return [(group, Guest(kind, cpus, memory)) for group in groups]


def _read_memory(table: Table, default: int) -> int:
    """Read `memory` ("512mb", "2gb", or megabytes) or `memory_mb`; returns megabytes."""
    key = "memory_mb"
    value = table.take("memory_mb")
    other = table.take("memory")
    if other is not None:
        key, value = "memory", other
    if value is None:
        return default
    match = _MEMORY.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
    if isinstance(value, bool) or not match:
        raise table.refuse(key, "must be an amount of memory like '512mb' or '2gb'")
    factor = {"k": 1 / 1024, "g": 1024}.get((match[2] or "m")[0].lower(), 1)
    megabytes = int(int(match[1]) * factor)
    if not MIN_MEMORY_MB <= megabytes <= 4_194_304:
        raise table.refuse(key, f"must be at least {MIN_MEMORY_MB} MB")
    return megabytes


def _read_restart(table: Table) -> list[tuple[str, Restart]]:
    policy = table.text("policy", "on-failure", among=("always", "never", "no", "on-failure"))
    tries = table.number("retries", table.number("max_retries", 10, 0, 1_000_000), 0, 1_000_000)
    groups = table.words("processes") or ("",)
    table.done()
    return [(group, Restart("no" if policy == "never" else policy, tries)) for group in groups]
