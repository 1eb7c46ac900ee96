"""`container` and `machine_config` of `roost.toml`: what has no table of its own there. Pure.

`machine_config` is the `config` of the machines, as a table or, as in `fly.toml`, as JSON text or the path of a JSON
file; what the tables of `roost.toml` say goes before it, and the image is what was built. `container` names the one of
its containers that runs that; it is the first without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from roost.model.app_config import AppConfig
from roost.model.app_config_table import Table
from roost.model.config_reading import Reader
from roost.model.containers import Container, SharedVolume, check_containers
from roost.model.containers_json import container_to_json, read_container, read_shared_volume, shared_volume_to_json
from roost.model.errors import BadInput
from roost.model.machine_config import Guest, Init, MachineConfig, Restart, StopConfig, read_machine_config

Load = Callable[[str], str]  # path, as written -> text; raises BadInput
_NOT_HERE = {
    "schedule": "machines with a schedule belong to no release: roost machine run",
    "processes": "write them in [processes]",
    "standbys": "it names machines, and a deploy makes new ones",
    "auto_destroy": "a deploy keeps its machines",
}


def read_containers(
    top: Table, experimental: Table, load: Load | None
) -> tuple[tuple[Container, ...], tuple[SharedVolume, ...], str, dict[str, Any]]:
    """Read the containers, the volumes they share, which container runs what was built, and the other keys.

    Raises BadInput.
    """
    built, given = top.text("container"), top.take("machine_config")
    older = experimental.take("machine_config")
    given = older if given is None else given
    if given is None:
        if built:
            raise top.refuse("container", "names a container, and there are none", "list them in machine_config")
        return (), (), "", {}
    where = top.origin.at("machine_config")
    parsed = _parsed(given, where, load)
    reader = Reader(parsed, where)
    containers = reader.items("containers", read_container)
    volumes = reader.items("volumes", read_shared_volume)
    rest = {
        str(key): value
        for key, value in (parsed.items() if isinstance(parsed, Mapping) else ())
        if key not in ("containers", "volumes", "image")
    }
    _check_rest(rest, where)
    read_machine_config({**(parsed if isinstance(parsed, Mapping) else {}), "image": "image"}, where)
    if not containers:
        if built or volumes:
            raise top.refuse("container" if built else "machine_config", "names containers, and there are none")
        return (), (), "", rest
    names = [one.name for one in containers]
    built = built or names[0]
    if built not in names:
        raise top.refuse("container", f"names {built[:40]!r}, and there are {', '.join(names)}")
    containers = tuple(
        replace(one, image_digest="", image="" if one.name == built else one.image) for one in containers
    )
    check_containers(MachineConfig("image", containers=containers, volumes=volumes), where)
    return containers, volumes, built, rest


def _check_rest(rest: dict[str, Any], where: str) -> None:
    for key, why in _NOT_HERE.items():
        if rest.get(key):
            raise BadInput(f"{where}.{key} can't be used here", hint=why)


def _parsed(given: Any, where: str, load: Load | None) -> object:
    if not isinstance(given, str):
        return given
    if not given.lstrip().startswith("{"):
        if load is None:
            raise BadInput(f"{where} names a file, which can't be read here", hint="write its JSON in its place")
        given = load(given)
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not valid JSON: {error}", hint="correct it") from None


def containers_to_json(config: AppConfig) -> dict[str, Any]:
    """Return the keys that `read_containers` reads."""
    held = dict(config.machine_config)
    if config.containers:
        held["containers"] = [container_to_json(one) for one in config.containers]
    if config.volumes:
        held["volumes"] = [shared_volume_to_json(one) for one in config.volumes]
    return ({"container": config.container} if config.containers else {}) | ({"machine_config": held} if held else {})


def with_machine_config(config: AppConfig, machine: MachineConfig) -> MachineConfig:
    """Return the machine with the keys of `machine_config` below what it says already."""
    if not config.machine_config:
        return machine
    base = read_machine_config({**config.machine_config, "image": machine.image}, "machine_config")
    paths = {file.guest_path for file in machine.files}
    return replace(
        base,
        guest=machine.guest if machine.guest != Guest() else base.guest,
        env={**base.env, **machine.env},
        init=_over(base.init, machine.init, Init()),
        services=machine.services or base.services,
        checks={**base.checks, **machine.checks},
        metadata={**base.metadata, **machine.metadata},
        mounts=machine.mounts or base.mounts,
        files=(*machine.files, *(file for file in base.files if file.guest_path not in paths)),
        restart=machine.restart if machine.restart != Restart() else base.restart,
        stop_config=_over(base.stop_config, machine.stop_config, StopConfig()),
        isolation=machine.isolation if machine.isolation != "crun" else base.isolation,
        metrics=machine.metrics or base.metrics,
        statics=machine.statics or base.statics,
    )


def _over(below: Any, above: Any, default: Any) -> Any:
    """Return `above` where it differs from the default, field by field, else `below`."""
    names = type(default).__dataclass_fields__
    told = {name: getattr(above, name) for name in names if getattr(above, name) != getattr(default, name)}
    return replace(below, **told)


def with_containers(config: AppConfig, machine: MachineConfig) -> MachineConfig:
    """Return the machine with the app's containers; what it was to run is run by the one for what was built."""
    if not config.containers:
        return machine
    init = machine.init

    def made(one: Container) -> Container:
        if one.name != config.container or one.exec or one.entrypoint or one.cmd:
            return one
        return replace(one, exec=init.exec, entrypoint=init.entrypoint, cmd=init.cmd, user=one.user or init.user)

    containers = tuple(made(one) for one in config.containers)
    return replace(machine, init=Init(), containers=containers, volumes=config.volumes)
