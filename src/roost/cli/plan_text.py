"""What `roost launch` says before it does anything: the plan as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roost.cli.output import printable

_NAMES = {"python": "Python", "node": "Node.js", "static": "Static site", "go": "Go", "ruby": "Ruby", "php": "PHP"}
_WIDTH = 10


def describe_plan(plan: Mapping[str, Any]) -> list[str]:
    """Return what was found and why, how it is built and how it is started."""
    stack = str(plan.get("stack") or "image")
    title = _NAMES.get(stack, stack.capitalize())
    if plan.get("framework"):
        title += f", {plan['framework']}"
    lines = [printable(title), *(f"  - {printable(str(line))}" for line in plan.get("evidence") or ())]
    for name, value in _facts(plan):
        lines.append(f"  {name:<{_WIDTH}} {printable(value)}")
    lines += [f"  note: {printable(str(line))}" for line in plan.get("notes") or ()]
    return lines


def _facts(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dependencies = plan.get("dependencies") or {}
    if plan.get("dockerfile"):
        yield "build", f"with {plan['dockerfile']}"
    for command in dependencies.get("commands") or ():
        yield "install", str(command)
    for command in plan.get("build_commands") or ():
        yield "build", str(command)
    for group, command in (plan.get("processes") or {}).items():
        yield ("start" if group == "app" else f"start {group}"), str(command)
    if plan.get("release_command"):
        yield "release", str(plan["release_command"])
    if plan.get("port"):
        yield "port", str(plan["port"])


def describe_creation(name: str, url: str, config: Mapping[str, Any], *, config_file: str, writes: bool) -> list[str]:
    """Return what will be made: the app, its machines, the file."""
    groups = list(config.get("processes") or {}) or ["app"]
    machines = "1 machine" if len(groups) == 1 else f"{len(groups)} machines ({', '.join(groups)})"
    vm: Mapping[str, Any] = next((item for item in config.get("vm") or () if not item.get("processes")), {})
    size = ", ".join(str(part) for part in (vm.get("memory"), f"{vm['cpus']} cpus" if vm.get("cpus") else "") if part)
    sleeps = {"suspend": ", frozen when nobody calls", "stop": ", stopped when nobody calls"}
    stop = sleeps.get(str((config.get("http_service") or {}).get("auto_stop_machines", "")), "")
    where = ", ".join(_places(url, config)) or "which no request reaches: there is no [http_service]"
    lines = [f"  app        {name}, {where}", f"  machines   {machines}{f' of {size}' if size else ''}{stop}"]
    lines.append(f"  file       {config_file} {'will be written' if writes else 'is used as it is'}")
    return lines


def _places(url: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Say where an app with this configuration will answer: at its URL, on ports of its own, or nowhere."""
    services: Sequence[Mapping[str, Any]] = config.get("services") or ()
    ports = [port for service in services for port in service.get("ports") or ()]
    shared = [port for port in ports if port.get("port") in (80, 443) and "http" in (port.get("handlers") or ())]
    if config.get("http_service") is not None or shared or not all(service.get("ports") for service in services):
        yield f"at {url}"
    own = [
        str(port.get("port") or f"{port.get('start_port')}-{port.get('end_port')}")
        for port in ports
        if port not in shared
    ]
    if own:
        yield f"on port{'s' if len(own) > 1 else ''} {', '.join(own)}"


def needs_warning(plan: Mapping[str, Any]) -> list[str]:
    """Return a line per service that the code seems to use, since launch doesn't make them."""
    variables = {"postgres": "DATABASE_URL", "mysql": "DATABASE_URL", "redis": "REDIS_URL", "bucket": "BUCKET_NAME"}
    return [
        f"the code seems to use {need}: give its address with `roost secrets set {variables.get(need, 'NAME')}=...`"
        for need in plan.get("needs") or ()
    ]
