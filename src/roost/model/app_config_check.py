"""What no cloud would deploy, though every key of it is right by itself. Pure.

`roost config validate` and the server ask the same: what passes here can still be refused for what a cloud is or has at
the moment (its ports, its engines, an app's secrets), and for what is found in the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from roost.model.app_config import AppConfig
from roost.model.app_config_machines import machine_configs
from roost.model.errors import BadInput
from roost.model.image import parse_image_ref
from roost.model.machine_config import machine_config_to_json, read_machine_config
from roost.model.public_ports import check_services


def check_app_config(config: AppConfig, processes: Mapping[str, str] | None = None) -> None:
    """Raise BadInput for a configuration that can't become machines.

    `processes` are those that were found in the source, if it was looked at; where `config` has its own they count.
    """
    for where, reference in _images(config):
        try:
            parse_image_ref(reference)
        except BadInput as error:
            raise BadInput(f"{where}: {error.message}", hint=error.hint) from None
    check_services(service for _, service in config.services)
    if processes is None and not config.build.image:
        processes = dict.fromkeys(_named_groups(config), "")  # it is for the source to have them
    made = machine_configs(config, image="image", plan_processes=processes or {}, release=1)
    for group, machine in made.items():
        read_machine_config(machine_config_to_json(machine), f"process group {group}")


def _images(config: AppConfig) -> Iterator[tuple[str, str]]:
    """Yield the references of images that a configuration names, each with its place."""
    named = [("build.image", config.build.image)]
    named += [(f"machine_checks[{n}].image", check.image) for n, (_, check) in enumerate(config.machine_checks)]
    named += [(f"machine_config.containers[{n}].image", one.image) for n, one in enumerate(config.containers)]
    named += [(f"machine_config.volumes[{n}].image", one.image) for n, one in enumerate(config.volumes)]
    return ((where, reference) for where, reference in named if reference)


def _named_groups(config: AppConfig) -> Iterable[str]:
    """Return the process groups that a configuration speaks of, each once."""
    listed = (config.services, config.mounts, config.files, config.metrics, config.machine_checks)
    found = {group: None for grouped in listed for groups, _ in grouped for group in groups}
    found |= {group: None for groups in config.check_groups.values() for group in groups}
    for by_group in (config.guests, config.restarts, config.schedules, config.autoscale):
        found |= {group: None for group in by_group if group}
    return found
