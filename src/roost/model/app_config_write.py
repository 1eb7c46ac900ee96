"""Writes an AppConfig: as JSON for the API and the store, as `roost.toml` for people. Pure.

Reading what was written gives an equal value (`app_config_read`), comments aside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tomlkit
from tomlkit.items import Table

from roost.model.app_config import AppConfig, Backups
from roost.model.app_config_autoscale import autoscale_to_json
from roost.model.app_config_containers import containers_to_json
from roost.model.app_config_deploy import build_to_json, deploy_to_json, machine_checks_to_json
from roost.model.app_config_disk import files_to_json, mount_to_json
from roost.model.app_config_guest import guest_to_json
from roost.model.app_config_services import checks_to_json, is_http_service, service_to_json
from roost.model.app_config_serving import metrics_to_json, statics_to_json
from roost.model.app_config_table import spell_seconds
from roost.model.build_plan import BuildPlan
from roost.model.machine_config import Init, Port, Service

_INTRO = "Written by roost launch. All keys: docs/roost-toml.md (the keys of fly.toml work too)."
_COMMENTS = {
    "internal_port": "where the app listens; it is told by $PORT",
    "auto_stop_machines": '"suspend", "stop" or "off"; a sleeping app wakes with the next request',
    "auto_stop_after": "how long without a request",
}


def propose_app_config(plan: BuildPlan, *, name: str, given: AppConfig | None = None) -> AppConfig:
    """Return the configuration to write for a detected app; what is `given` stays as it is.

    The proposal has one HTTP service that is suspended when idle, and the plan's release command.
    Start commands are left out: they follow the source, unless someone pins them in `[processes]`.
    """
    config = given or AppConfig()
    config = replace(config, app=config.app or name)
    if given is None:
        web = "app" if not plan.processes or "app" in plan.processes else ""
        if web:
            groups = (web,) if len(plan.processes) > 1 else ()
            config = replace(config, services=((groups, _http_service(plan.port)),))
    if plan.release_command and not config.deploy.release_command:
        config = replace(config, deploy=replace(config.deploy, release_command=plan.release_command))
    return config


def _http_service(port: int) -> Service:
    return Service(
        internal_port=port, ports=(Port(80, ("http",)), Port(443, ("tls", "http"))), autostop="suspend", autostart=True
    )


def app_config_to_json(config: AppConfig) -> dict[str, Any]:
    """Return the JSON form: the keys of `roost.toml`. What is as by default is left out."""
    out: dict[str, Any] = {
        "app": config.app,
        "primary_region": config.primary_region,
        "kill_signal": config.kill_signal,
        "kill_timeout": spell_seconds(config.kill_timeout) if config.kill_timeout != 5.0 else None,
        "swap_size_mb": config.swap_size_mb or None,
        "console_command": config.console_command,
        "isolation": config.isolation if config.isolation != "crun" else "",
        "build": _filled(build_to_json(config.build)),
        "deploy": _filled(deploy_to_json(config.deploy)),
        "env": dict(config.env),
        "processes": dict(config.processes),
        "experimental": _init(config.init),
    }
    services = list(config.services)
    if services and is_http_service(services[0][1]):
        out["http_service"] = service_to_json(*services.pop(0), http=True)
    out["services"] = [service_to_json(groups, service, http=False) for groups, service in services]
    out["checks"] = checks_to_json(config.checks, config.check_groups)
    out["machine_checks"] = machine_checks_to_json(config.machine_checks)
    out["vm"] = [guest_to_json((group,) if group else (), guest) for group, guest in config.guests.items()]
    out["restart"] = [
        {"policy": restart.policy, "retries": restart.max_retries} | ({"processes": [group]} if group else {})
        for group, restart in config.restarts.items()
    ]
    out["schedules"] = [
        {"schedule": schedule.expression, "timezone": schedule.timezone} | ({"processes": [group]} if group else {})
        for group, schedule in config.schedules.items()
    ]
    out["autoscale"] = autoscale_to_json(config.autoscale)
    out["mounts"] = [
        mount_to_json(groups, mount, config.backups.get(mount.name, Backups())) for groups, mount in config.mounts
    ]
    out["files"] = files_to_json(config.files)
    out["metrics"] = metrics_to_json(config.metrics)
    out["statics"] = statics_to_json(config.statics)
    return _filled(out | containers_to_json(config))


def write_app_config(config: AppConfig, plan: BuildPlan | None = None) -> str:
    """Return the text of `roost.toml`, with short comments on what was found and what the keys do."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_INTRO))
    if plan is not None:
        document.add(tomlkit.comment(_summary(plan)))
        for group, command in plan.processes.items():
            document.add(tomlkit.comment(f"{group}: {_one_line(command)}"))
    document.add(tomlkit.nl())
    data = app_config_to_json(config)
    simple = {key: value for key, value in data.items() if not isinstance(value, dict | list)}
    for key, value in simple.items():
        document.add(key, tomlkit.item(value))
    for key, value in data.items():
        if key not in simple:
            document.add(key, _commented(value))
    return tomlkit.dumps(document)


def _commented(value: Any) -> Any:
    item = tomlkit.item(value)
    if isinstance(item, Table):
        for key in item:
            if key in _COMMENTS:
                item[key].comment(_COMMENTS[key])
    return item


def _summary(plan: BuildPlan) -> str:
    return _one_line(f"Found: {plan.framework or plan.stack}. To pin a start command, write it under [processes].")


def _one_line(text: str) -> str:
    """Make text safe for a TOML comment: one line, no control characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def _init(init: Init) -> dict[str, Any]:
    return _filled({"exec": list(init.exec), "entrypoint": list(init.entrypoint), "cmd": list(init.cmd)})


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value not in (None, "", {}, [])}
