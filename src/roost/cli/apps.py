"""`roost apps`: list, create, destroy."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import context, output, prompts
from roost.cli.waiting import waiting
from roost.model.names import check_app_name

group = typer.Typer(help="Apps: list, create, destroy.", rich_markup_mode=None, no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME")]


@group.command("list", epilog="Example: roost apps list --json")
def list_apps(as_json: context.JsonOption = False) -> None:
    """List the apps."""
    with context.client() as client:
        found = client.apps.list()
    if as_json:
        output.say_json(found)
        return
    header = ("name", "status", "machines", "org", "created")
    rows = (
        (
            item.get("name"),
            item.get("status"),
            str(item.get("machine_count", 0)),
            (item.get("organization") or {}).get("slug"),
            output.since(item.get("created_at")),
        )
        for item in found
    )
    output.say(output.table(header, rows))


@group.command(epilog="Example: roost apps create shop")
def create(
    name: Name,
    org: Annotated[str, typer.Option("--org", metavar="ORG", help="The org it belongs to.")] = "personal",
    network: Annotated[str, typer.Option("--network", metavar="NAME", help="A private network of its own.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """Make an empty app."""
    with context.client() as client:
        made = client.apps.create(check_app_name(name), org=org, network=network)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{name} is made. Deploy to it with: roost deploy -a {name}")


@group.command(epilog="Example: roost apps destroy shop --yes")
def destroy(name: Name, yes: context.YesOption = False) -> None:
    """Remove an app with its machines, volumes, releases and secrets."""
    with context.client() as client:
        client.apps.get(check_app_name(name))
        prompts.confirm(f"Destroy {name} with everything it has?", yes=yes)
        with waiting(f"Destroying {name}: its machines are stopped first"):
            client.apps.destroy(name, force=True)
    output.say(f"{name} is destroyed.")
