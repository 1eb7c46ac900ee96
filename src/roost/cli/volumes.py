"""`roost volumes`: named disks that outlive machines, and their snapshots."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roost.cli import context, output, prompts
from roost.cli.waiting import waiting
from roost.model.errors import BadInput
from roost.model.volume import check_snapshot_id, check_volume_id, check_volume_name

group = typer.Typer(
    help="Volumes: create, extend, fork, restore, destroy.", rich_markup_mode=None, no_args_is_help=True
)
snapshots = typer.Typer(help="Snapshots of volumes: list, create.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(snapshots, name="snapshots")
VolumeId = Annotated[str, typer.Argument(metavar="ID", help="The volume's id.")]
Size = Annotated[int, typer.Option("--size", metavar="GB", min=0, max=500, help="Its size; by default the original's.")]
NewName = Annotated[str, typer.Option("--name", metavar="NAME", help="Its name; by default the original's.")]


@group.command("list", epilog="Example: roost volumes list -a shop --json")
def list_volumes(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List the app's volumes."""
    with context.client() as client:
        found = client.volumes.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = (
        (
            v.get("id"), v.get("name"), v.get("state"), f"{v.get('size_gb')} GB", output.size(v.get("bytes_used")),
            v.get("attached_machine_id"), output.since(v.get("created_at")),
        )
        for v in found
    )  # fmt: skip
    output.say(output.table(("id", "name", "state", "size", "used", "machine", "created"), rows))


@group.command(epilog="Example: roost volumes create data -a shop --size 10")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and underscores.")],
    app: context.AppOption = "",
    size: Annotated[int, typer.Option("--size", metavar="GB", min=1, max=500, help="Its size.")] = 1,
    retention: Annotated[
        int, typer.Option("--snapshot-retention", metavar="DAYS", min=1, max=60, help="How long snapshots are kept.")
    ] = 5,
    scheduled: Annotated[
        bool, typer.Option("--scheduled-snapshots/--no-scheduled-snapshots", help="Take one every day.")
    ] = True,
    as_json: context.JsonOption = False,
) -> None:
    """Make an empty volume."""
    with context.client() as client, waiting(f"Making the volume {name}"):
        made = client.volumes.create(
            context.app_name(app),
            check_volume_name(name),
            size_gb=size,
            snapshot_retention=retention,
            auto_backup_enabled=scheduled,
        )
    _tell(made, as_json)


@group.command(epilog="Example: roost volumes show vol_0123456789abcdef -a shop")
def show(volume_id: VolumeId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show one volume and how full it is."""
    with context.client() as client:
        found = client.volumes.get(context.app_name(app), check_volume_id(volume_id))
    if as_json:
        output.say_json(found)
        return
    backup = "every day" if found.get("auto_backup_enabled") else "by hand only"
    pairs = (
        ("id", found.get("id")),
        ("name", found.get("name")),
        ("state", found.get("state")),
        ("size", f"{found.get('size_gb')} GB"),
        ("used", f"{output.size(found.get('bytes_used'))} of {output.size(found.get('bytes_total'))}"),
        ("machine", found.get("attached_machine_id")),
        ("snapshots", f"{backup}, kept {found.get('snapshot_retention')} days"),
        ("created", output.since(found.get("created_at"))),
    )
    output.say(output.fields(pairs))


@group.command(epilog="Example: roost volumes extend vol_0123456789abcdef -a shop --size 20")
def extend(
    volume_id: VolumeId,
    size: Annotated[int, typer.Option("--size", metavar="GB", min=1, max=500, help="Its new size.")],
    app: context.AppOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Make a volume larger, while it is used or not."""
    with context.client() as client, waiting(f"Extending {volume_id}"):
        answer = client.volumes.extend(context.app_name(app), check_volume_id(volume_id), size)
    if as_json:
        output.say_json(answer)
        return
    output.say(f"{volume_id} has {size} GB")
    if answer.get("needs_restart"):
        machine = answer["volume"].get("attached_machine_id")
        output.note(f"Its machine sees that once it was restarted: roost machine restart {machine}")


@group.command(epilog="Example: roost volumes destroy vol_0123456789abcdef -a shop --yes")
def destroy(volume_id: VolumeId, app: context.AppOption = "", yes: context.YesOption = False) -> None:
    """Remove a volume for good. Its snapshots stay until their time is over."""
    name = context.app_name(app)
    with context.client() as client:
        found = client.volumes.get(name, check_volume_id(volume_id))
        prompts.confirm(f"Destroy {volume_id} ({found.get('name')}) and all that is on it?", yes=yes)
        with waiting(f"Destroying {volume_id}"):
            client.volumes.destroy(name, volume_id)
    output.say(f"{volume_id} is destroyed.")


@group.command(epilog="Example: roost volumes fork vol_0123456789abcdef -a shop --name copy")
def fork(
    volume_id: VolumeId,
    app: context.AppOption = "",
    name: NewName = "",
    size: Size = 0,
    as_json: context.JsonOption = False,
) -> None:
    """Make a volume as a copy of another, which may be in use."""
    key = context.app_name(app)
    with context.client() as client:
        name = name or str(client.volumes.get(key, check_volume_id(volume_id)).get("name"))
        with waiting(f"Copying {volume_id}"):
            made = client.volumes.create(key, check_volume_name(name), source_volume_id=volume_id, size_gb=size)
    _tell(made, as_json)


@group.command(epilog="Example: roost volumes restore vs_0123456789abcdef -a shop --name data")
def restore(
    snapshot_id: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="The snapshot's id.")],
    app: context.AppOption = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The new volume's name.")] = "",
    size: Size = 0,
    as_json: context.JsonOption = False,
) -> None:
    """Make a volume that begins as what a snapshot holds. The volume it was taken of stays as it is."""
    if not name:
        raise BadInput("the new volume needs a name", hint=f"roost volumes restore {snapshot_id} --name data")
    with context.client() as client, waiting(f"Restoring {snapshot_id}"):
        made = client.volumes.create(
            context.app_name(app), check_volume_name(name), snapshot_id=check_snapshot_id(snapshot_id), size_gb=size
        )
    _tell(made, as_json)


@snapshots.command("list", epilog="Example: roost volumes snapshots list vol_0123456789abcdef -a shop")
def list_snapshots(volume_id: VolumeId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List a volume's snapshots, also when the volume is gone."""
    with context.client() as client:
        found = client.volumes.snapshots(context.app_name(app), check_volume_id(volume_id))
    if as_json:
        output.say_json(found)
        return
    rows = (
        (
            s.get("id"), s.get("status"), output.size(s.get("size")), f"{s.get('retention_days')} days",
            output.since(s.get("created_at")),
        )
        for s in found
    )  # fmt: skip
    output.say(output.table(("id", "status", "size", "kept", "taken"), rows))


@snapshots.command("create", epilog="Example: roost volumes snapshots create vol_0123456789abcdef -a shop")
def create_snapshot(volume_id: VolumeId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Keep what a volume holds now."""
    with context.client() as client, waiting(f"Taking a snapshot of {volume_id}"):
        made = client.volumes.snapshot(context.app_name(app), check_volume_id(volume_id))
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['id']} holds {output.size(made.get('size'))} of {volume_id}")


def _tell(made: Any, as_json: bool) -> None:
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['id']} ({made.get('name')}, {made.get('size_gb')} GB) is made")
