"""`roost secrets`: environment variables of an app that nobody can read back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli import context, output, progress, secret_keys
from roost.cli.assignments import parse_dotenv, read_values
from roost.model.errors import BadInput, Conflict, InsufficientCapacity
from roost.model.names import check_secret_name

if TYPE_CHECKING:
    from roost.sdk import Client
    from roost.sdk.shapes import Operation

Stage = Annotated[bool, typer.Option("--stage", help="Store only; machines take it over with the next deploy.")]
_STORED = "it is stored, but not rolled out: "
group = typer.Typer(help="Secrets: set, list, unset, import.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(secret_keys.group, name="keys")


@group.command("set", epilog="Example: roost secrets set -a shop API_KEY=@key.txt SMTP_PASSWORD=-")
def set_secrets(
    pairs: Annotated[list[str], typer.Argument(metavar="K=V...", help="K=V, K=@FILE, or K=- for stdin.")],
    app: context.AppOption = "",
    stage: Stage = False,
) -> None:
    """Set secrets and restart the app with them. K=@FILE and K=- keep a value out of history and process list."""
    _send(app, read_values(pairs, "secret"), stage=stage)


@group.command(epilog="Example: roost secrets unset -a shop API_KEY")
def unset(
    names: Annotated[list[str], typer.Argument(metavar="K...", help="Their names.")],
    app: context.AppOption = "",
    stage: Stage = False,
) -> None:
    """Remove secrets and restart the app without them."""
    _send(app, dict.fromkeys(names), stage=stage)


@group.command("import", epilog="Example: roost secrets import -a shop < .env")
def import_secrets(app: context.AppOption = "", stage: Stage = False) -> None:
    """Set the secrets that standard input holds as KEY=value lines (a dotenv file)."""
    values = parse_dotenv(sys.stdin.read())
    if not values:
        raise BadInput("standard input holds no KEY=value line", hint="roost secrets import < .env")
    _send(app, values, stage=stage)


@group.command("list", epilog="Example: roost secrets list -a shop --json")
def list_secrets(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List names and digests; values never come back."""
    with context.client() as client:
        found = client.secrets.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = ((item.get("name"), item.get("digest"), output.since(item.get("updated_at"))) for item in found)
    output.say(output.table(("name", "digest", "set"), rows))


def _send(app: str, values: Mapping[str, str | None], *, stage: bool) -> None:
    for name in values:
        check_secret_name(name)
    name = context.app_name(app)
    with context.client() as client:
        version = client.secrets.set(name, values)
        verb = "removed" if None in values.values() else "set"
        output.say(f"{verb} {', '.join(values)} (secrets version {version} of {name})")
        if stage:
            output.note("Machines take it over when they restart, or with the next deploy.")
        elif any(release.get("status") == "complete" for release in client.releases.list(name)):
            progress.follow(client, _start(client, name))


def _start(client: Client, app: str) -> Operation:
    try:
        return client.deploys.start(app)
    except Conflict as error:
        raise Conflict(_STORED + error.message, hint="when that has ended, give this command again") from None
    except InsufficientCapacity as error:
        raise InsufficientCapacity(_STORED + error.message, hint=error.hint) from None
