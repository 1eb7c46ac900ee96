"""`roost operations`: the long-running work of the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli import context, output, progress

if TYPE_CHECKING:
    from roost.sdk import Client

group = typer.Typer(help="Operations: list, show, cancel.", rich_markup_mode=None, no_args_is_help=True)
OperationId = Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")]


@group.command("list", epilog="Example: roost operations list -a shop")
def list_operations(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List operations, newest first. Of all apps unless one is named with -a."""
    with context.client() as client:
        found = client.operations.list(app=app)
    if as_json:
        output.say_json(found)
        return
    rows = (
        (o.get("id"), o.get("kind"), o.get("app"), o.get("state"), o.get("step"), output.since(o.get("created_at")))
        for o in found
    )
    output.say(output.table(("id", "kind", "app", "state", "step", "begun"), rows))


@group.command(epilog="Example: roost operations show 01JD3V6T7W2XQ4M8A0B1C2D3E4 --follow")
def show(
    operation_id: OperationId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until it ends; Ctrl-C leaves it running.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="With everything it said.")] = False,
    as_json: context.JsonOption = False,
) -> None:
    """Show one operation."""
    with context.client() as client:
        found = client.operations.get(operation_id)
        if not as_json and (follow or (logs and found.get("state") != "running")):
            _tell(client, operation_id)
            found = client.operations.get(operation_id)
    if as_json:
        output.say_json(found)
        return
    pairs = (
        ("id", found.get("id")),
        ("kind", found.get("kind")),
        ("app", found.get("app")),
        ("state", found.get("state")),
        ("step", found.get("step")),
        ("error", found.get("error")),
        ("hint", found.get("hint")),
        ("begun", output.since(found.get("created_at"))),
    )
    output.say(output.fields(pairs))


def _tell(client: Client, operation_id: str) -> None:
    display = progress.PlainDisplay()
    for line in client.operations.follow(operation_id):
        display.show(line)


@group.command(epilog="Example: roost operations cancel 01JD3V6T7W2XQ4M8A0B1C2D3E4")
def cancel(operation_id: OperationId) -> None:
    """Ask an operation to end and undo what it did."""
    with context.client() as client:
        found = client.operations.cancel(operation_id)
    output.say(
        f"{operation_id} is {found.get('state')}" + (", being cancelled" if found.get("state") == "running" else "")
    )
