"""`roost machine update`, `cordon`, `uncordon` and `metadata`: changing what a machine is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.assignments import split_pair
from roost.cli.machine import MachineId, act
from roost.cli.machine import group as group
from roost.cli.waiting import waiting
from roost.model.errors import BadInput
from roost.model.names import check_machine_id


@group.command(epilog="Example: roost machine update 148e21a9c35d08 -a shop --memory 512 --env LEVEL=debug")
def update(
    machine_id: MachineId,
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="In place of its own.")] = None,
    app: context.AppOption = "",
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="Another image.")] = "",
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="A variable; K= removes it.")
    ] = None,
    memory: Annotated[int, typer.Option("--memory", metavar="MB", help="Memory limit.")] = 0,
    cpus: Annotated[int, typer.Option("--cpus", metavar="N", help="Processors.")] = 0,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="WHEN", help="When it runs, as in machine run; '' for never.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="The schedule's.")] = "",
    skip_start: Annotated[bool, typer.Option("--skip-start", help="Leave it stopped afterwards.")] = False,
    as_json: context.JsonOption = False,
) -> None:
    """Change a machine's configuration: what is given, the rest stays. A running one is restarted."""
    name = context.app_name(app)
    with context.client() as client:
        before = client.machines.get(name, check_machine_id(machine_id))
        config: dict[str, Any] = dict(before.get("config") or {})
        config["env"] = _changed(config.get("env") or {}, env or [], "a variable")
        guest = {key: value for key, value in (("memory_mb", memory), ("cpus", cpus)) if value}
        config["guest"] = {**(config.get("guest") or {}), **guest}
        if image:
            config["image"] = image
        if schedule is not None:
            config["schedule"] = schedule
            config["schedule_timezone"] = timezone or config.get("schedule_timezone") if schedule else ""
        elif timezone:
            config["schedule_timezone"] = timezone
        if command:
            config["init"] = {**(config.get("init") or {}), "cmd": command, "exec": []}
        with waiting(f"Changing {machine_id}"):
            made = client.machines.update(
                name, machine_id, config, current_version=before.get("instance_id", ""), skip_launch=skip_start
            )
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{machine_id} is {made.get('state')}, version {made.get('instance_id')}")


@group.command(epilog="Example: roost machine cordon 148e21a9c35d08 -a shop")
def cordon(machine_id: MachineId, app: context.AppOption = "") -> None:
    """Keep requests from a machine, without stopping it."""
    act(app, machine_id, lambda client, name, key: client.machines.cordon(name, key), "cordoned")


@group.command(epilog="Example: roost machine uncordon 148e21a9c35d08 -a shop")
def uncordon(machine_id: MachineId, app: context.AppOption = "") -> None:
    """Let requests reach a machine again."""
    act(app, machine_id, lambda client, name, key: client.machines.uncordon(name, key), "uncordoned")


@group.command(epilog="Example: roost machine metadata 148e21a9c35d08 -a shop role=primary old=")
def metadata(
    machine_id: MachineId,
    changes: Annotated[list[str] | None, typer.Argument(metavar="[K=V...]", help="What to set; K= removes.")] = None,
    app: context.AppOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Show a machine's metadata, or change them first. It is not restarted."""
    name, key = context.app_name(app), check_machine_id(machine_id)
    values = dict(split_pair(word, "metadata") for word in changes or ())
    with context.client() as client:
        if values:
            found = client.machines.set_metadata(name, key, {word: value or None for word, value in values.items()})
        else:
            found = client.machines.metadata(name, key)
    if as_json:
        output.say_json(found)
    elif found:
        output.say(output.table(("key", "value"), sorted(found.items())))


def _changed(before: dict[str, str], words: list[str], what: str) -> dict[str, str]:
    """Return `before` with K=V set and K= removed; raises BadInput for what can't be a pair."""
    after = dict(before)
    for word in words:
        key, value = split_pair(word, what)
        if not value and key not in after:
            raise BadInput(f"{what} {key[:40]!r} is not there to be removed")
        after.pop(key, None)
        if value:
            after[key] = value
    return after
