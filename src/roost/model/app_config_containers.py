"""The containers of an app's machines: `container` and `machine_config` of `roost.toml`. Pure.

`machine_config` holds the machine's `containers` and `volumes`, as a table or, as in `fly.toml`, as JSON text or
the path of a JSON file. `container` names the one that runs what was built; it is the first without that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from roost.model.app_config import AppConfig
from roost.model.app_config_table import Table
from roost.model.config_reading import Reader
from roost.model.containers import Container, SharedVolume, check_containers
from roost.model.containers_json import container_to_json, read_container, read_shared_volume, shared_volume_to_json
from roost.model.errors import BadInput
from roost.model.machine_config import MachineConfig
from roost.model.process_config import Init

Load = Callable[[str], str]  # path, as written -> text; raises BadInput


def read_containers(top: Table, load: Load | None) -> tuple[tuple[Container, ...], tuple[SharedVolume, ...], str]:
    """Read the containers, the volumes they share, and which container runs what was built; raises BadInput."""
    built, given = top.text("container"), top.take("machine_config")
    if given is None:
        if built:
            raise top.refuse("container", "names a container, and there are none", "list them in machine_config")
        return (), (), ""
    where = top.origin.at("machine_config")
    reader = Reader(_parsed(given, where, load), where)
    containers = reader.items("containers", read_container)
    volumes = reader.items("volumes", read_shared_volume)
    reader.done()
    if not containers:
        raise BadInput(f"{where}.containers is missing", hint="other keys have their own tables, like [[vm]]")
    names = [one.name for one in containers]
    built = built or names[0]
    if built not in names:
        raise top.refuse("container", f"names {built[:40]!r}, and there are {', '.join(names)}")
    containers = tuple(
        replace(one, image_digest="", image="" if one.name == built else one.image) for one in containers
    )
    check_containers(MachineConfig("image", containers=containers, volumes=volumes), where)
    return containers, volumes, built


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
    if not config.containers:
        return {}
    held = {"containers": [container_to_json(one) for one in config.containers]}
    if config.volumes:
        held["volumes"] = [shared_volume_to_json(one) for one in config.volumes]
    return {"container": config.container, "machine_config": held}


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
