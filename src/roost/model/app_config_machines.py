"""From an app's configuration to the machines it wants, one configuration per process group. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from roost.model.app_config import AppConfig
from roost.model.app_config_containers import with_containers, with_machine_config
from roost.model.errors import BadInput
from roost.model.machine_config import Guest, MachineConfig, Mount, Restart, Service, StopConfig

WEB_GROUP = "app"
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\$\{[^}]*\}|\\.""")
_COMPOUND = re.compile(r"[;&|\n(){}`]|^\s*(?:exec|if|for|while|case|until|cd|export|set|\.|!)\s")
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*=")


def shell_argv(command: str) -> tuple[str, ...]:
    """Return the argument list that runs a shell command so that it gets the signals itself.

    A simple command replaces the shell (`exec`), because a shell as the first process of a machine
    would keep SIGTERM to itself. A compound one is left as it is.
    """
    if _COMPOUND.search(_QUOTED.sub("_", command)):
        return ("/bin/sh", "-c", command)
    runner = "exec env" if _ASSIGNMENT.match(command) else "exec"
    return ("/bin/sh", "-c", f"{runner} {command.strip()}")


def machine_configs(
    config: AppConfig, *, image: str, plan_processes: Mapping[str, str], release: int
) -> dict[str, MachineConfig]:
    """Return the machine configuration of every process group.

    `[processes]` replaces what the build plan found. An app with neither has one group, "app", that
    runs the image's own command. Raises BadInput when a service serves a group that does not exist.
    """
    commands = dict(config.processes or plan_processes) or {WEB_GROUP: ""}
    if config.containers and len(commands) > 1:
        raise BadInput(
            f"the app has several containers in a machine, and the process groups {', '.join(commands)}",
            hint="make each process a container, or leave machine_config out",
        )
    _check_groups(config.schedules, tuple(commands))
    served = _services_by_group(config, tuple(commands))
    mounted = _mounts_by_group(config, tuple(commands))
    return {
        group: _machine_config(config, group, command, served[group], mounted[group], image=image, release=release)
        for group, command in commands.items()
    }


def _check_groups(schedules: Collection[str], groups: tuple[str, ...]) -> None:
    """Raise BadInput for a schedule of a group that there is not, or of nobody in particular."""
    for group in schedules:
        if group and group not in groups:
            raise BadInput(
                f"a schedule is for the process group {group[:40]!r}, and the app has only {', '.join(groups)}",
                hint="correct `processes` of [[schedules]], or add the group to [processes]",
            )
        if not group and len(groups) > 1:
            raise BadInput(
                f"a schedule does not say which of the process groups it is for: {', '.join(groups)}",
                hint='add processes = ["..."] to [[schedules]]',
            )


def _services_by_group(config: AppConfig, groups: tuple[str, ...]) -> dict[str, tuple[Service, ...]]:
    """Sort the services by the groups they belong to; one that names none belongs to the web group."""
    served: dict[str, list[Service]] = {group: [] for group in groups}
    for named, service in config.services:
        wanted = named or ((WEB_GROUP,) if WEB_GROUP in served else groups[:1])
        for group in wanted:
            if group not in served:
                raise BadInput(
                    f"a service on port {service.internal_port} is for the process group {group[:40]!r}, "
                    f"and the app has only {', '.join(groups)}",
                    hint="correct `processes` of the service, or add the group to [processes]",
                )
            served[group].append(service)
    return {group: tuple(services) for group, services in served.items()}


def _mounts_by_group(config: AppConfig, groups: tuple[str, ...]) -> dict[str, tuple[Mount, ...]]:
    """Sort the volumes by the groups whose machines have one; one that names none is the web group's."""
    mounted: dict[str, tuple[Mount, ...]] = {group: () for group in groups}
    for named, mount in config.mounts:
        for group in named or ((WEB_GROUP,) if WEB_GROUP in mounted else groups[:1]):
            if group not in mounted:
                raise BadInput(
                    f"the volume {mount.name} is for the process group {group[:40]!r}, "
                    f"and the app has only {', '.join(groups)}",
                    hint="correct `processes` of the mount, or add the group to [processes]",
                )
            if mounted[group]:
                raise BadInput(
                    f"the process group {group} mounts {mounted[group][0].name} and {mount.name}: a machine has one",
                    hint="put everything on one volume",
                )
            mounted[group] = (mount,)
    return mounted


def _machine_config(
    config: AppConfig,
    group: str,
    command: str,
    services: tuple[Service, ...],
    mounts: tuple[Mount, ...],
    *,
    image: str,
    release: int,
) -> MachineConfig:
    env = dict(config.env)
    if services:
        env.setdefault("PORT", str(services[0].internal_port))
    if config.primary_region:
        env.setdefault("PRIMARY_REGION", config.primary_region)
    init = replace(config.init, swap_size_mb=config.swap_size_mb)
    if command and not (init.exec or init.cmd):
        init = replace(init, cmd=shell_argv(command))
    made = MachineConfig(
        image=image,
        guest=config.guests.get(group, config.guests.get("", Guest())),
        env=env,
        init=init,
        services=services,
        checks={
            name: check
            for name, check in config.checks.items()
            if (group in config.check_groups[name] if name in config.check_groups else services)
        },
        metadata={
            "fly_platform_version": "v2",
            "fly_process_group": group,
            "fly_release_version": str(release),
        },
        mounts=mounts,
        restart=config.restarts.get(group, config.restarts.get("", Restart())),
        schedule=config.schedules.get(group, config.schedules.get("")),
        stop_config=StopConfig(config.kill_signal, config.kill_timeout),
        isolation=config.isolation,
        metrics=next((one for groups, one in config.metrics if not groups or group in groups), None),
        statics=config.statics if services else (),
        files=tuple(file for groups, file in config.files if not groups or group in groups),
    )
    return with_containers(config, with_machine_config(config, made))
