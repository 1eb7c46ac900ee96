"""`roost scale`: how many machines the process groups of an app have, and how big they are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output, progress
from roost.cli.assignments import split_pair
from roost.cli.waiting import waiting
from roost.model.errors import BadInput, NotFound
from roost.model.guest_config import size_of
from roost.model.names import RESERVED_GROUPS

if TYPE_CHECKING:
    from roost.sdk import Client
    from roost.sdk.shapes import Machine

group = typer.Typer(
    help="Number and size of machines: show, count, vm, memory.", rich_markup_mode=None, no_args_is_help=True
)
GroupOption = Annotated[str, typer.Option("--group", metavar="GROUP", help="Only this process group.")]
_LEAST_MB = {"shared": 256, "performance": 2048}  # per processor


@group.command(epilog="Example: roost scale show -a shop")
def show(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show the process groups with the number and size of their machines."""
    name = context.app_name(app)
    with context.client() as client:
        found: dict[str, list[Machine]] = {group: [] for group in client.scaling.counts(name)}
        found |= _by_group(client, name)
    rows = [_row(name, machines) for name, machines in sorted(found.items())]
    if as_json:
        output.say_json(rows)
        return
    cells = ((r["group"], r["count"], r["started"], ", ".join(r["sizes"])) for r in rows)
    output.say(output.table(("group", "count", "started", "size"), cells))


@group.command(epilog="Example: roost scale count web=2 worker=1 -a shop")
def count(
    counts: Annotated[
        list[str], typer.Argument(metavar="N|GROUP=N...", help="How many; N alone is for `app`, or the only group.")
    ],
    app: context.AppOption = "",
) -> None:
    """Bring process groups to so many machines. The next deploys keep the numbers, 0 too."""
    wanted = dict(_count(word) for word in counts)
    name = context.app_name(app)
    with context.client() as client:
        if "" in wanted:
            groups = client.scaling.counts(name)
            wanted = {key or _default(groups): number for key, number in wanted.items()}
        progress.follow(client, client.scaling.count(name, wanted))
    output.say(", ".join(f"{key}: {number}" for key, number in wanted.items()))


@group.command(epilog="Example: roost scale vm shared-cpu-2x -a shop --memory 1024")
def vm(
    size: Annotated[str, typer.Argument(metavar="SIZE", help="Like shared-cpu-2x or performance-1x.")],
    app: context.AppOption = "",
    memory: Annotated[int, typer.Option("--memory", metavar="MB", min=0, help="By default the size's least.")] = 0,
    only: GroupOption = "",
) -> None:
    """Give the app's machines another size. One after the other; those that run are restarted."""
    found = size_of(size)
    if found is None:
        raise BadInput(f"{size[:40]!r} is no size", hint="shared-cpu-1x, 2x, 4x, 6x or 8x; performance-1x to 16x")
    kind, cpus = found
    _resize(app, only, {"cpu_kind": kind, "cpus": cpus, "memory_mb": memory or cpus * _LEAST_MB[kind]})


@group.command(epilog="Example: roost scale memory 512 -a shop")
def memory(
    megabytes: Annotated[int, typer.Argument(metavar="MB", min=1, help="Memory limit of each machine.")],
    app: context.AppOption = "",
    only: GroupOption = "",
) -> None:
    """Give the app's machines more or less memory. One after the other; those that run are restarted."""
    _resize(app, only, {"memory_mb": megabytes})


def _count(word: str) -> tuple[str, int]:
    name, text = split_pair(word, "a count") if "=" in word else ("", word)
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise BadInput(f"{word[:40]!r} is not a number of machines", hint="2, or web=2 worker=1")
    return name, int(text)


def _default(groups: dict[str, int]) -> str:
    """Return the process group that a number alone is meant for."""
    return next(iter(groups)) if len(groups) == 1 else "app"


def _by_group(client: Client, app: str) -> dict[str, list[Machine]]:
    found: dict[str, list[Machine]] = defaultdict(list)
    for machine in client.machines.list(app):
        name = machine.get("process_group") or "app"
        if name not in RESERVED_GROUPS:
            found[name].append(machine)
    return found


def _row(name: str, machines: list[Machine]) -> dict[str, Any]:
    guests = [(m.get("config") or {}).get("guest") or {} for m in machines]
    sizes = {f"{g.get('cpus')} {g.get('cpu_kind')} cpus, {g.get('memory_mb')} MB" for g in guests}
    started = sum(m.get("state") == "started" for m in machines)
    return {"group": name, "count": len(machines), "started": started, "sizes": sorted(sizes)}


def _resize(app: str, only: str, guest: dict[str, Any]) -> None:
    name = context.app_name(app)
    with context.client() as client:
        found = _by_group(client, name)
        if not found or (only and only not in found):
            raise NotFound(f"{name} has no machines" + (f" of the group {only}" if only else ""))
        for key, machines in found.items():
            for machine in machines if only in ("", key) else ():
                config: dict[str, Any] = dict(machine.get("config") or {})
                config["guest"] = {**(config.get("guest") or {}), **guest}
                with waiting(f"Changing {machine['id']} ({key})"):
                    client.machines.update(
                        name, machine["id"], config, current_version=machine.get("instance_id", ""),
                        skip_launch=machine.get("state") != "started",
                    )  # fmt: skip
                output.say(f"{machine['id']} ({key}) has {config['guest'].get('cpus')} cpus,"
                           f" {config['guest'].get('memory_mb')} MB")  # fmt: skip
    output.note("The next deploy gives them what roost.toml says: write it there, under [[vm]].")
