"""Reads `roost.toml`, `fly.toml` and their JSON and YAML forms into an AppConfig. Pure.

Every key either works, or gives a warning that names it; a wrong type or value is BadInput with the
key and, where it can be told, the line. The other directions are next door: `app_config_write` (back
to JSON and TOML) and `app_config_machines` (to machines); their functions can be imported from here.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from roost.model.app_config import AppConfig
from roost.model.app_config_autoscale import check_autoscale, read_autoscale
from roost.model.app_config_containers import Load, read_containers
from roost.model.app_config_deploy import read_build, read_deploy, read_machine_checks
from roost.model.app_config_disk import Content, read_files, read_mounts
from roost.model.app_config_guest import read_guests, read_restarts
from roost.model.app_config_machines import machine_configs, shell_argv
from roost.model.app_config_schedules import check_schedules, read_schedules
from roost.model.app_config_services import read_checks, read_services
from roost.model.app_config_serving import read_metrics_of, read_statics_of
from roost.model.app_config_table import Origin, Table
from roost.model.app_config_text import parse_config
from roost.model.app_config_write import app_config_to_json, propose_app_config, write_app_config
from roost.model.errors import BadInput
from roost.model.machine_config import Init, read_signal
from roost.model.names import RESERVED_GROUPS, check_app_name

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


def read_app_config(
    text: str, *, name: str, load: Load | None = None, content: Content | None = None
) -> tuple[AppConfig, list[str]]:
    """Read a configuration file's text; `name` is its path: .toml, .json, .yaml or .yml.

    `load` gives the text of a file that it names, `content` what a `local_path` of `[[files]]` holds.

    Returns the configuration and warnings for the writer. In `fly.toml` a service without
    `auto_stop_machines` never sleeps, as on Fly; elsewhere it is suspended when idle.
    Raises BadInput.
    """
    if len(text) > _MAX_TEXT:
        raise BadInput(f"{name} is larger than 1 MiB", hint="keep only the configuration in it")
    origin = Origin(name, text if name.endswith(".toml") else "")
    data = parse_config(text, name)
    of_fly = PurePosixPath(name).name.startswith("fly.")
    config = _read(Table(data, "", "", origin), autostop="off" if of_fly else "suspend", load=load, content=content)
    return config, origin.warnings


def app_config_from_json(data: object) -> AppConfig:
    """Read the JSON form that `app_config_to_json` writes; raises BadInput, also for a key that has no effect."""
    origin = Origin("config")
    config = _read(Table(data, "", "", origin), autostop="suspend")
    if origin.warnings:
        raise BadInput(origin.warnings[0], hint="remove the key")
    return config


def _read(top: Table, *, autostop: str, load: Load | None = None, content: Content | None = None) -> AppConfig:
    app = top.text("app")
    if app:
        check_app_name(app)
    processes = top.strings("processes")
    for group in processes:
        if not _GROUP.fullmatch(group):
            raise top.refuse(f"processes.{group}", "is not a process group's name: use letters, digits, - and _")
        if group in RESERVED_GROUPS:
            raise top.refuse(f"processes.{group}", "is reserved: machines of that name come and go with a deploy")
    experimental = top.table("experimental", "experimental")
    containers, volumes, built, machine_config = read_containers(top, experimental, load)
    deploy = read_deploy(top.table("deploy", "deploy"), mounts=top.has("mounts"))
    mounts, backups = read_mounts(top)
    checks, check_groups = read_checks(top)
    services, machine_checks = read_services(top, autostop)
    config = AppConfig(
        app=app,
        primary_region=top.text("primary_region"),
        kill_signal=read_signal(top.take("kill_signal"), top.origin.at("kill_signal")),
        kill_timeout=top.duration("kill_timeout", 5.0),
        swap_size_mb=top.number("swap_size_mb", 0, 0, 1_048_576),
        console_command=top.text("console_command"),
        build=read_build(top.table("build", "build")),
        deploy=deploy,
        env=_read_env(top),
        processes=processes,
        services=services,
        checks=checks,
        check_groups=check_groups,
        machine_checks=(*read_machine_checks(top), *machine_checks),
        guests=read_guests(top),
        restarts=read_restarts(top),
        schedules=read_schedules(top, processes),
        autoscale=read_autoscale(top, processes),
        init=_read_experimental(experimental),
        mounts=mounts,
        backups=backups,
        files=read_files(top, content),
        metrics=read_metrics_of(top),
        statics=read_statics_of(top),
        isolation=top.text("isolation", "crun", among=("crun", "gvisor")),
        containers=containers,
        volumes=volumes,
        container=built,
        machine_config=machine_config,
    )
    if containers and config.isolation != "crun":
        raise top.refuse("isolation", "must be crun where a machine has several containers")
    if config.kill_timeout > 300:
        raise top.refuse("kill_timeout", "must be at most 300 s")
    top.done()
    if deploy.strategy == "bluegreen" and not (checks or any(service.checks for _, service in services)):
        raise top.refuse("deploy.strategy", "can't be 'bluegreen' without a check", "add [[http_service.checks]]")
    _check_groups(config, top)
    check_schedules(config, top)
    check_autoscale(config, top)
    return config


def _check_groups(config: AppConfig, top: Table) -> None:
    """Refuse groups that `[processes]` does not have, where there is such a table."""
    if not config.processes:
        return
    named = [("http_service" if i == 0 else "services", g) for i, (gs, _) in enumerate(config.services) for g in gs]
    for section, grouped in (
        ("mounts", [groups for groups, _ in config.mounts]),
        ("files", [groups for groups, _ in config.files]),
        ("metrics", [groups for groups, _ in config.metrics]),
        ("machine_checks", [groups for groups, _ in config.machine_checks]),
        ("checks", list(config.check_groups.values())),
    ):
        named += [(section, group) for groups in grouped for group in groups]
    named += [("schedules", g) for g in config.schedules if g]
    named += [("autoscale", g) for g in config.autoscale if g]
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


def _read_env(top: Table) -> dict[str, str]:
    env = top.strings("env")
    for key in env:
        if "=" in key:
            raise top.refuse(f"env.{key}", "can't be a variable's name")
        if key.startswith(("FLY_", "ROOST_")):
            raise top.refuse(f"env.{key}", "is reserved: FLY_* and ROOST_* are set by the cloud")
    return env


def _read_experimental(table: Table) -> Init:
    init = Init(exec=table.words("exec"), entrypoint=table.words("entrypoint"), cmd=table.words("cmd"))
    if not table.flag("auto_rollback", True):
        table.origin.warn("experimental.auto_rollback", "has no effect: a release that fails is always taken back")
    table.done()
    return init
