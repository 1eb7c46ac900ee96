"""Writes an AppConfig: as JSON for the API and the store, as `roost.toml` for people. Pure.

Reading what was written gives an equal value (`app_config_read`), comments aside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tomlkit
from tomlkit.items import Table

from roost.model.app_config import AppConfig
from roost.model.app_config_containers import containers_to_json
from roost.model.build_plan import BuildPlan
from roost.model.machine_config import Check, Guest, Init, Port, Service

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
    build, deploy = config.build, config.deploy
    out: dict[str, Any] = {
        "app": config.app,
        "primary_region": config.primary_region,
        "kill_signal": config.kill_signal,
        "kill_timeout": _seconds(config.kill_timeout) if config.kill_timeout != 5.0 else None,
        "isolation": config.isolation if config.isolation != "crun" else "",
        "build": _filled(
            {
                "image": build.image,
                "dockerfile": build.dockerfile,
                "build-target": build.target,
                "builtin": build.builtin,
                "args": dict(build.args),
            }
        ),
        "deploy": _filled(
            {
                "strategy": deploy.strategy if deploy.strategy != "rolling" else "",
                "wait_timeout": _seconds(deploy.wait_timeout) if deploy.wait_timeout != 300 else "",
                "release_command": deploy.release_command,
                "release_command_timeout": _seconds(deploy.release_command_timeout)
                if deploy.release_command_timeout != 300
                else "",
            }
        ),
        "env": dict(config.env),
        "processes": dict(config.processes),
        "experimental": _init(config.init),
    }
    services = list(config.services)
    if services and _is_http_service(services[0][1]):
        out["http_service"] = _service(*services.pop(0), http=True)
    out["services"] = [_service(groups, service, http=False) for groups, service in services]
    out["checks"] = {name: _check(check) for name, check in config.checks.items()}
    out["vm"] = [_guest(group, guest) for group, guest in config.guests.items()]
    out["restart"] = [
        {"policy": restart.policy, "retries": restart.max_retries} | ({"processes": [group]} if group else {})
        for group, restart in config.restarts.items()
    ]
    out["mounts"] = [
        {"source": mount.name, "destination": mount.path, "initial_size": f"{mount.size_gb}gb"}
        | ({"processes": list(groups)} if groups else {})
        for groups, mount in config.mounts
    ]
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


def _is_http_service(service: Service) -> bool:
    ports = service.ports
    return (
        len(ports) == 2
        and (ports[0].port, ports[0].handlers) == (80, ("http",))
        and ports[1] == Port(443, ("tls", "http"))
    )


def _service(groups: tuple[str, ...], service: Service, *, http: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "internal_port": service.internal_port,
        "auto_stop_machines": service.autostop,
        "auto_start_machines": service.autostart,
        "auto_stop_after": _seconds(service.idle_timeout),
        "min_machines_running": service.min_machines_running,
    }
    if service.soft_limit or service.hard_limit or service.concurrency_type != "requests":
        out["concurrency"] = {
            "type": service.concurrency_type,
            "soft_limit": service.soft_limit,
            "hard_limit": service.hard_limit,
        }
    if groups:
        out["processes"] = list(groups)
    if http:
        if service.ports[0].force_https:
            out["force_https"] = True
        if service.checks:
            out["checks"] = [_check(check) for check in service.checks]
        return out
    out["ports"] = [
        {"port": p.port, "handlers": list(p.handlers)} | ({"force_https": True} if p.force_https else {})
        for p in service.ports
    ]
    for kind in ("tcp", "http"):
        if checks := [_check(check) for check in service.checks if check.type == kind]:
            out[f"{kind}_checks"] = checks
    return out


def _check(check: Check) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": check.type,
        "port": check.port,
        "interval": _seconds(check.interval),
        "timeout": _seconds(check.timeout),
        "grace_period": _seconds(check.grace_period),
    }
    if check.type == "http":
        out |= {"method": check.method, "path": check.path}
        if check.headers:
            out["headers"] = dict(check.headers)
    return out


def _guest(group: str, guest: Guest) -> dict[str, Any]:
    out: dict[str, Any] = {"cpu_kind": guest.cpu_kind, "cpus": guest.cpus, "memory": f"{guest.memory_mb}mb"}
    return out | ({"processes": [group]} if group else {})


def _init(init: Init) -> dict[str, Any]:
    return _filled({"exec": list(init.exec), "entrypoint": list(init.entrypoint), "cmd": list(init.cmd)})


def _seconds(value: float) -> str:
    """Spell a duration: whole minutes as minutes, else seconds."""
    return f"{value / 60:.0f}m" if value and value % 60 == 0 else f"{value:g}s"


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value not in (None, "", {}, [])}
