"""`roost machine wait`, `events`, `runs`, `versions`, `ps`, `leases` and `clone`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.machine import MachineId
from roost.cli.machine_change import group as group
from roost.cli.waiting import waiting
from roost.model.errors import NotFound
from roost.model.names import check_machine_id

if TYPE_CHECKING:
    from roost.sdk.shapes import Run

leases = typer.Typer(help="Leases: view, clear.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(leases, name="leases")


@group.command(epilog="Example: roost machine wait 148e21a9c35d08 -a shop --state stopped --timeout 30")
def wait(
    machine_id: MachineId,
    app: context.AppOption = "",
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="started, stopped, suspended, ...")
    ] = "started",
    timeout: Annotated[int, typer.Option("--timeout", metavar="SECONDS", min=1, max=60)] = 60,
    as_json: context.JsonOption = False,
) -> None:
    """Wait until a machine is in a state. Ends with 124 when it is not in time."""
    with context.client() as client, waiting(f"Waiting until {machine_id} is {state}"):
        found = client.machines.wait(context.app_name(app), check_machine_id(machine_id), state=state, timeout=timeout)
    if as_json:
        output.say_json(found)
    else:
        output.say(f"{machine_id} is {found.get('state')}")


@group.command(epilog="Example: roost machine events 148e21a9c35d08 -a shop")
def events(
    machine_id: MachineId,
    app: context.AppOption = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=50)] = 20,
    as_json: context.JsonOption = False,
) -> None:
    """Show what happened to a machine, the newest first."""
    with context.client() as client:
        found = client.machines.events(context.app_name(app), check_machine_id(machine_id), limit=limit)
    if as_json:
        output.say_json(found)
        return
    rows = [(_when(e.get("timestamp")), e.get("type"), e.get("status"), e.get("source"), _exit(e)) for e in found]
    output.say(output.table(("when", "type", "status", "by", "exit"), rows))


def _when(milliseconds: object) -> str:
    if not isinstance(milliseconds, int | float):
        return ""
    return output.since(datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat())


def _exit(event: dict[str, Any]) -> str:
    """Return how the machine ended, and what came of it; "" for another event."""
    request = event.get("request") or {}
    ended = request.get("exit_event")
    if not isinstance(ended, dict):
        return ""
    how = f"signal {ended['guest_signal']}" if ended.get("guest_signal") else f"code {ended.get('exit_code')}"
    return str(request.get("reason") or ("out of memory" if ended.get("oom_killed") else how))


@group.command(epilog="Example: roost machine runs 148e21a9c35d08 -a shop")
def runs(
    machine_id: MachineId,
    app: context.AppOption = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="At most so many.")] = 20,
    as_json: context.JsonOption = False,
) -> None:
    """Show what a machine with a schedule did, the newest first."""
    with context.client() as client:
        listing = client.machines.runs(context.app_name(app), check_machine_id(machine_id), page=limit)
        found = list(islice(listing, limit))
    if as_json:
        output.say_json(found)
        return
    header = ("due", "why", "started", "took", "state", "exit", "reason")
    output.say(output.table(header, (_run_row(run) for run in found)))


def _run_row(run: Run) -> tuple[object, ...]:
    began, ended, took = run.get("started_at"), run.get("ended_at"), ""
    if began and ended:
        took = f"{(datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds():.1f} s"
    why = run.get("trigger", "").replace("_", " ") + (f", {run['missed']} missed" if run.get("missed") else "")
    exit_code = "" if run.get("exit_code") is None else run["exit_code"]
    oom = " (out of memory)" if run.get("oom") else ""
    since = output.since(began) if began else ""
    return run.get("scheduled_at") or "", why, since, took, run.get("state"), f"{exit_code}{oom}", run.get("reason")


@group.command(epilog="Example: roost machine versions 148e21a9c35d08 -a shop --json")
def versions(machine_id: MachineId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show the configurations a machine has had, the newest first."""
    with context.client() as client:
        found = client.machines.versions(context.app_name(app), check_machine_id(machine_id))
    if as_json:
        output.say_json(found)
        return
    configs = ((v.get("version"), v.get("user_config") or {}) for v in found)
    rows = [(key, c.get("image"), (c.get("guest") or {}).get("memory_mb")) for key, c in configs]
    output.say(output.table(("version", "image", "memory mb"), rows))


@group.command(epilog="Example: roost machine ps 148e21a9c35d08 -a shop")
def ps(machine_id: MachineId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show what runs in a machine, and where it listens."""
    with context.client() as client:
        found = client.machines.processes(context.app_name(app), check_machine_id(machine_id))
    if as_json:
        output.say_json(found)
        return
    rows = (
        (
            p.get("pid"),
            output.size(p.get("rss")),
            f"{float(p.get('cpu') or 0) / 1000:.1f} s",
            ", ".join(str(s.get("address")) for s in p.get("listen_sockets") or ()),
            p.get("command"),
        )
        for p in found
    )
    output.say(output.table(("pid", "memory", "cpu", "listens", "command"), rows))


@group.command(epilog="Example: roost machine clone 148e21a9c35d08 -a shop --name second")
def clone(
    machine_id: MachineId,
    app: context.AppOption = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The new machine's name.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """Make another machine with the same configuration. Its volumes are not cloned."""
    key = context.app_name(app)
    with context.client() as client:
        config = dict(client.machines.get(key, check_machine_id(machine_id)).get("config") or {})
        if config.pop("mounts", None):
            output.note("It has a volume, which the clone has not: roost volumes fork copies one.")
        with waiting(f"Starting a machine like {machine_id}"):
            made = client.machines.create(key, config, name=name)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['id']} is {made.get('state')}")


@leases.command(epilog="Example: roost machine leases view 148e21a9c35d08 -a shop")
def view(machine_id: MachineId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show who holds a machine, and until when."""
    with context.client() as client:
        try:
            lease = client.machines.current_lease(context.app_name(app), check_machine_id(machine_id))
            found: dict[str, Any] = dict(lease)
        except NotFound as error:
            if "lease" not in error.message:
                raise
            found = {}
    if as_json:
        output.say_json([found] if found else [])
        return
    until = datetime.fromtimestamp(found["expires_at"], UTC).isoformat() if found else ""
    rows = [(found.get("owner"), found.get("description"), until)] if found else []
    output.say(output.table(("owner", "description", "until"), rows))


@leases.command(epilog="Example: roost machine leases clear 148e21a9c35d08 -a shop --nonce NONCE")
def clear(
    machine_id: MachineId,
    app: context.AppOption = "",
    nonce: Annotated[str, typer.Option("--nonce", metavar="NONCE", help="The lease's, which its holder got.")] = "",
) -> None:
    """Give a lease back."""
    with context.client() as client:
        client.machines.release(context.app_name(app), check_machine_id(machine_id), nonce)
    output.say(f"nobody holds {machine_id}")
