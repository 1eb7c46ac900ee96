"""`roost image`: the images in the cloud's store."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import context, output, progress
from roost.cli.waiting import waiting
from roost.model.image import parse_image_ref

group = typer.Typer(help="Images: list, show, pull, refresh, collect.", rich_markup_mode=None, no_args_is_help=True)
Reference = Annotated[str, typer.Argument(metavar="REF", help="Like roost/python:bookworm or debian:bookworm.")]


@group.command("list", epilog="Example: roost image list --json")
def list_images(as_json: context.JsonOption = False) -> None:
    """List the images."""
    with context.client() as client:
        found = client.images.list()
    if as_json:
        output.say_json(found)
        return
    rows = (
        (
            item.get("reference"),
            str(item.get("digest", "")).removeprefix("sha256:")[:12],
            output.size(item.get("size_bytes")),
            output.since(item.get("created_at")),
        )
        for item in found
    )
    output.say(output.table(("reference", "digest", "size", "made"), rows))


@group.command(epilog="Example: roost image show -a shop")
def show(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show which images the app's machines run."""
    with context.client() as client:
        found = client.machines.list(context.app_name(app))
    shown = [{"machine": m.get("id"), "release": m.get("release"), **(m.get("image_ref") or {})} for m in found]
    if as_json:
        output.say_json(shown)
        return
    rows = (
        (
            item["machine"],
            f"v{item['release']}" if item["release"] else "",
            f"{item.get('registry') or ''}/{item.get('repository') or ''}".strip("/"),
            item.get("tag"),
            str(item.get("digest") or "").removeprefix("sha256:")[:12],
        )
        for item in shown
    )
    output.say(output.table(("machine", "release", "repository", "tag", "digest"), rows))


@group.command(epilog="Example: roost image pull debian:bookworm-slim")
def pull(reference: Reference) -> None:
    """Bring an image here, unless it is here."""
    parse_image_ref(reference)
    with context.client() as client:
        progress.follow(client, client.images.pull(reference))
    output.say(f"{reference} is here.")


@group.command(epilog="Example: roost image refresh roost/base:bookworm")
def refresh(reference: Reference) -> None:
    """Pull or make an image again, for its security updates."""
    parse_image_ref(reference)
    with context.client() as client:
        progress.follow(client, client.images.refresh(reference))
    output.say(f"{reference} is fresh; machines get it with their next deploy.")


@group.command(epilog="Example: roost image collect")
def collect(as_json: context.JsonOption = False) -> None:
    """Remove what no app and no release uses."""
    with context.client() as client, waiting("Removing the images that nothing uses"):
        freed = client.images.collect()
    if as_json:
        output.say_json({"freed_bytes": freed})
    else:
        output.say(f"{output.size(freed)} freed")
