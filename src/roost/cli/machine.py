"""`roost machine`: the single machines of an app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.assignments import split_pair
from roost.cli.cloud import machine_table
from roost.cli.waiting import waiting
from roost.model.errors import BadInput
from roost.model.names import check_machine_id

if TYPE_CHECKING:
    from roost.sdk import Client

group = typer.Typer(
    help="Machines: run, start, stop, suspend, look at them.", rich_markup_mode=None, no_args_is_help=True
)
MachineId = Annotated[str, typer.Argument(metavar="ID", help="The machine's id.")]


@group.command(epilog="Example: roost machine run roost/base:bookworm -a shop -- sleep 60")
def run(
    image: Annotated[str, typer.Argument(metavar="[IMAGE]", help="The image.")] = "",
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="In place of its own.")] = None,
    app: context.AppOption = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The machine's name.")] = "",
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="Its environment.")] = None,
    memory: Annotated[int, typer.Option("--memory", metavar="MB", help="Memory limit.")] = 256,
    cpus: Annotated[int, typer.Option("--cpus", metavar="N", help="Processors.")] = 1,
    isolation: Annotated[str, typer.Option("--isolation", metavar="NAME", help="crun or gvisor.")] = "crun",
    volume: Annotated[str, typer.Option("--volume", metavar="VOLUME:PATH", help="Its volume, by id or name.")] = "",
    schedule: Annotated[
        str, typer.Option("--schedule", metavar="WHEN", help="hourly, daily, weekly, monthly, or a cron expression.")
    ] = "",
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="The schedule's, else UTC.")] = "",
    standby_for: Annotated[
        str, typer.Option("--standby-for", metavar="IDS", help="Machines it stands in for, commas between.")
    ] = "",
    machine_config: Annotated[
        Path | None, typer.Option("--machine-config", metavar="FILE", help="JSON of more of its configuration.")
    ] = None,
    remove: Annotated[bool, typer.Option("--rm", help="Destroy it when its process ends.")] = False,
    as_json: context.JsonOption = False,
) -> None:
    """Make a machine from an image and start it. What the file of --machine-config says goes before other options."""
    config: dict[str, Any] = {
        "guest": {"cpu_kind": "shared", "cpus": cpus, "memory_mb": memory},
        "env": dict(split_pair(word, "a variable") for word in env or ()),
        "isolation": isolation,
        "auto_destroy": remove,
    }
    if volume:
        config["mounts"] = [_mount(volume)]
    config |= {"schedule": schedule} if schedule else {}
    config |= {"schedule_timezone": timezone} if timezone else {}
    if standby_for:
        config["standbys"] = [check_machine_id(one.strip()) for one in standby_for.split(",")]
    if command:
        config["init"] = {"cmd": command}
    if machine_config is not None:
        config |= _read_config(machine_config)
    if image:
        config["image"] = image
    if not config.get("image") and not config.get("containers"):
        raise BadInput("there is no image", hint="roost machine run IMAGE, or --machine-config FILE")
    with (
        context.client() as client,
        waiting(f"Starting a machine from {image or 'its image'}, which is brought here if it is not yet"),
    ):
        made = client.machines.create(context.app_name(app), config, name=name)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['id']} is {made.get('state')}")


def _read_config(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raises BadInput."""
    import json

    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} can't be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path} must hold a JSON object", hint="the keys are in docs/machines.md")
    return found


def _mount(text: str) -> dict[str, str]:
    volume, _, path = text.partition(":")
    if not volume or not path:
        raise BadInput(f"{text[:80]!r} is not a volume and where it is mounted", hint="--volume data:/data")
    return {"volume": volume, "path": path}


@group.command("list", epilog="Example: roost machine list -a shop --json")
def list_machines(
    app: context.AppOption = "",
    state: Annotated[str, typer.Option("--state", metavar="STATE", help="Only these, commas between.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """List the app's machines."""
    with context.client() as client:
        found = client.machines.list(context.app_name(app), state=state)
    if as_json:
        output.say_json(found)
    else:
        output.say(machine_table(found))


@group.command(epilog="Example: roost machine status 148e21a9c35d08 -a shop")
def status(machine_id: MachineId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show one machine: its state, its checks and what happened to it."""
    with context.client() as client:
        found = client.machines.get(context.app_name(app), check_machine_id(machine_id))
    if as_json:
        output.say_json(found)
        return
    config, ref = found.get("config") or {}, found.get("image_ref") or {}
    guest, last = config.get("guest") or {}, found.get("last_exit") or {}
    pairs = (
        ("id", found.get("id")),
        ("name", found.get("name")),
        ("state", found.get("state")),
        ("image", config.get("image")),
        ("digest", ref.get("digest")),
        ("size", f"{guest.get('cpus')} {guest.get('cpu_kind')} cpus, {guest.get('memory_mb')} MB" if guest else ""),
        ("address", found.get("private_ip")),
        ("schedule", _schedule(found, config)),
        ("stands by for", ", ".join(config.get("standbys") or ())),
        ("cordoned", "yes: no request reaches it" if found.get("cordoned") else ""),
        ("last exit", last.get("message")),
        ("created", output.since(found.get("created_at"))),
    )
    output.say(output.fields(pairs))
    for title, header, rows in (
        (
            "containers",
            ("name", "state", "restarts", "image", "last exit"),
            [_container_row(container) for container in found.get("containers") or ()],
        ),
        (
            "checks",
            ("name", "status", "output"),
            [(c.get("name"), c.get("status"), c.get("output")) for c in found.get("checks") or ()],
        ),
        (
            "events",
            ("when", "type", "status", "by", "container"),
            [_event_row(event) for event in found.get("events") or ()],
        ),
    ):
        if rows:
            output.say(f"\n{title}")
            output.say(output.table(header, rows))


def _schedule(machine: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if not config.get("schedule"):
        return ""
    return f"{config['schedule']} ({config.get('schedule_timezone')}), next at {machine.get('next_run_at') or 'never'}"


def _event_row(event: dict[str, Any]) -> tuple[object, ...]:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(float(event.get("timestamp", 0)) / 1000, UTC).isoformat()
    container = (event.get("request") or {}).get("container", "")
    return output.since(at), event.get("type"), event.get("status"), event.get("source"), container


def _container_row(container: dict[str, Any]) -> tuple[object, ...]:
    last = (container.get("last_exit") or {}).get("message", "")
    return (
        container.get("name"),
        container.get("state"),
        container.get("restart_count"),
        container.get("image"),
        "" if container.get("state") == "started" else last,
    )


def act(app: str, machine_id: str, verb: Callable[[Client, str, str], object], state: str) -> None:
    """Do one thing to a machine and say what it is now."""
    name = context.app_name(app)
    with context.client() as client, waiting(f"Waiting until {machine_id} is {state}"):
        verb(client, name, check_machine_id(machine_id))
    output.say(f"{machine_id} is {state}")


@group.command(epilog="Example: roost machine start 148e21a9c35d08 -a shop")
def start(machine_id: MachineId, app: context.AppOption = "") -> None:
    """Start a machine, or wake a suspended one."""
    act(app, machine_id, lambda client, name, key: client.machines.start(name, key), "started")


@group.command(epilog="Example: roost machine stop 148e21a9c35d08 -a shop --timeout 30")
def stop(
    machine_id: MachineId,
    app: context.AppOption = "",
    signal: Annotated[str, typer.Option("--signal", metavar="NAME", help="In place of the configured one.")] = "",
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Then it is killed.")] = None,
) -> None:
    """Stop a machine: a signal first, then a kill."""
    act(
        app,
        machine_id,
        lambda client, name, key: client.machines.stop(name, key, signal=signal, timeout=timeout),
        "stopped",
    )


@group.command(epilog="Example: roost machine suspend 148e21a9c35d08 -a shop")
def suspend(machine_id: MachineId, app: context.AppOption = "") -> None:
    """Freeze a machine: its memory stays, it uses no processor time."""
    act(app, machine_id, lambda client, name, key: client.machines.suspend(name, key), "suspended")


@group.command(epilog="Example: roost machine restart 148e21a9c35d08 -a shop")
def restart(machine_id: MachineId, app: context.AppOption = "") -> None:
    """Stop a machine and start it again."""
    act(app, machine_id, lambda client, name, key: client.machines.restart(name, key), "restarted")


@group.command(epilog="Example: roost machine destroy 148e21a9c35d08 -a shop --force")
def destroy(
    machine_id: MachineId,
    app: context.AppOption = "",
    force: Annotated[bool, typer.Option("--force", help="Also if it runs.")] = False,
) -> None:
    """Remove a machine and its disk."""
    act(app, machine_id, lambda client, name, key: client.machines.destroy(name, key, force=force), "destroyed")


@group.command("exec", epilog="Example: roost machine exec 148e21a9c35d08 -a shop -- ls -l /app")
def execute(
    machine_id: MachineId,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    app: context.AppOption = "",
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, max=3600)] = 60,
    container: context.ContainerOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Run a command in a started machine; ends with its exit code."""
    with context.client() as client:
        found = client.machines.exec(
            context.app_name(app), check_machine_id(machine_id), command, timeout=timeout, container=container
        )
    if as_json:
        output.say_json(found)
    else:
        sys.stdout.write(found.get("stdout", ""))
        sys.stdout.flush()
        sys.stderr.write(found.get("stderr", ""))
    signal = int(found.get("exit_signal") or 0)
    raise typer.Exit(128 + signal if signal else int(found.get("exit_code", 0)))
