"""`[deploy]`, `[build]` and `[[machine_checks]]` of `roost.toml`: read, and written again. Pure."""

from __future__ import annotations

import shlex
from typing import Any

from roost.model.app_config import BuildSettings, DeploySettings, MachineCheck
from roost.model.app_config_guest import guest_to_json, read_guest
from roost.model.app_config_table import Table, spell_seconds
from roost.model.machine_config import read_signal

GroupedCheck = tuple[tuple[str, ...], MachineCheck]
BUILTINS = ("python", "node", "static", "go", "ruby", "php", "dockerfile")
_DEFAULTS = DeploySettings()


def read_build(table: Table) -> BuildSettings:
    """Read `[build]`; raises BadInput."""
    settings = BuildSettings(
        image=table.text("image"),
        dockerfile=table.text("dockerfile"),
        target=table.text("build-target"),
        builtin=table.text("builtin", among=BUILTINS),
        ignorefile=table.text("ignorefile"),
        args=table.strings("args"),
    )
    for key, path in (("dockerfile", settings.dockerfile), ("ignorefile", settings.ignorefile)):
        if path.startswith("/") or ".." in path.split("/") or "://" in path:
            raise table.refuse(key, "must be a path below the source directory")
    table.done()
    return settings


def build_to_json(build: BuildSettings) -> dict[str, Any]:
    """Return what `read_build` reads."""
    return {
        "image": build.image,
        "dockerfile": build.dockerfile,
        "build-target": build.target,
        "builtin": build.builtin,
        "ignorefile": build.ignorefile,
        "args": dict(build.args),
    }


def read_deploy(table: Table, *, mounts: bool) -> DeploySettings:
    """Read `[deploy]` of an app with or without volumes; raises BadInput."""
    strategy = table.text("strategy", "rolling", among=("rolling", "immediate", "canary", "bluegreen"))
    if strategy in ("canary", "bluegreen") and mounts:
        raise table.refuse(
            "strategy",
            f"can't be {strategy!r} for an app with [mounts]: a volume belongs to one machine at a time",
            'use "rolling": the machine is stopped, then started as the new release',
        )
    settings = DeploySettings(
        strategy=strategy,
        wait_timeout=table.duration("wait_timeout", 300.0),
        release_command=table.text("release_command"),
        release_command_timeout=table.duration("release_command_timeout", 300.0),
        release_command_guest=_read_release_guest(table),
        seed_command=table.text("seed_command"),
        max_unavailable=_read_unavailable(table),
    )
    table.done()
    return settings


def _read_release_guest(table: Table) -> Any:
    if not table.has("release_command_vm"):
        return None
    inner = table.table("release_command_vm", "vm")
    groups, guest = read_guest(inner)
    if groups:
        raise inner.refuse("processes", "has no meaning here: the release command has a machine of its own")
    if guest.persist_rootfs != "never":
        raise inner.refuse("persist_rootfs", "has no meaning here: the machine goes when the command has ended")
    return guest


def _read_unavailable(table: Table) -> float:
    value = table.take("max_unavailable")
    if value is None:
        return _DEFAULTS.max_unavailable
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 10_000:
        raise table.refuse("max_unavailable", "must be a share of the machines like 0.33, or a number of them")
    if value >= 1 and value != int(value):
        raise table.refuse("max_unavailable", "must be a share below 1, or a whole number of machines")
    return float(value)


def deploy_to_json(deploy: DeploySettings) -> dict[str, Any]:
    """Return what `read_deploy` reads, without what is as by default."""
    guest, bound = deploy.release_command_guest, deploy.max_unavailable
    return {
        "strategy": deploy.strategy if deploy.strategy != "rolling" else "",
        "wait_timeout": spell_seconds(deploy.wait_timeout) if deploy.wait_timeout != 300 else "",
        "release_command": deploy.release_command,
        "release_command_timeout": spell_seconds(deploy.release_command_timeout)
        if deploy.release_command_timeout != 300
        else "",
        "release_command_vm": guest_to_json((), guest) if guest else {},
        "seed_command": deploy.seed_command,
        "max_unavailable": (bound if bound < 1 else int(bound)) if bound != _DEFAULTS.max_unavailable else None,
    }


def read_machine_checks(table: Table) -> tuple[GroupedCheck, ...]:
    """Read `[[machine_checks]]`, of the file or of a service; raises BadInput."""
    checks = []
    for item in table.tables("machine_checks", "machine_checks"):
        check = MachineCheck(
            image=item.text("image"),
            command=_read_command(item, "command"),
            entrypoint=_read_command(item, "entrypoint"),
            kill_signal=read_signal(item.take("kill_signal"), item.origin.at(item.path("kill_signal"))),
            kill_timeout=item.duration("kill_timeout", 5.0),
        )
        if check.kill_timeout > 300:
            raise item.refuse("kill_timeout", "must be at most 300 s")
        if not (check.image or check.command or check.entrypoint):
            raise item.refuse("command", "is missing: a check runs a command, or an image that is made for it")
        checks.append((item.words("processes"), check))
        item.done()
    return tuple(checks)


def _read_command(table: Table, key: str) -> tuple[str, ...]:
    """Return a list of words; a single text is split like a line of a shell."""
    value = table.take(key)
    if isinstance(value, str) and "\0" not in value:
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise table.refuse(key, f"can't be read: {error}", "quote it like a shell line") from None
    table.put_back(key, value)
    return table.words(key)


def machine_checks_to_json(checks: tuple[GroupedCheck, ...]) -> list[dict[str, Any]]:
    """Return what `read_machine_checks` reads."""
    return [
        {
            key: value
            for key, value in {
                "image": check.image,
                "command": list(check.command),
                "entrypoint": list(check.entrypoint),
                "kill_signal": check.kill_signal,
                "kill_timeout": spell_seconds(check.kill_timeout) if check.kill_timeout != 5 else "",
                "processes": list(groups),
            }.items()
            if value
        }
        for groups, check in checks
    ]
