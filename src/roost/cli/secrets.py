"""`roost secrets`: environment variables of an app that nobody can read back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from roost.cli import context, output, progress, secret_keys
from roost.cli.assignments import parse_dotenv, read_values
from roost.model.errors import BadInput, Conflict, NotFound, RoostError
from roost.model.names import check_secret_name

Stage = Annotated[bool, typer.Option("--stage", help="Store only; machines take it over with the next deploy.")]
group = typer.Typer(help="Secrets: set, list, unset, import.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(secret_keys.group, name="keys")


@group.command("set", epilog="Example: roost secrets set -a shop API_KEY=@key.txt SMTP_PASSWORD=-")
def set_secrets(
    pairs: Annotated[list[str], typer.Argument(metavar="K=V...", help="K=V, K=@FILE, or K=- for stdin.")],
    app: context.AppOption = "",
    stage: Stage = False,
) -> None:
    """Set secrets and restart the app with them. K=@FILE and K=- keep a value out of history and process list."""
    _send(app, read_values(pairs, "a secret"), stage=stage)


@group.command(epilog="Example: roost secrets unset -a shop API_KEY")
def unset(
    names: Annotated[list[str], typer.Argument(metavar="K...", help="Their names.")],
    app: context.AppOption = "",
    stage: Stage = False,
) -> None:
    """Remove secrets and restart the app without them."""
    for name in names:
        check_secret_name(name)
    found = context.app_name(app)
    with context.client() as client:
        there = {str(item.get("name")) for item in client.secrets.list(found)}
    if missing := [name for name in names if name not in there]:
        raise NotFound(f"{found} has no secret {', '.join(missing)}", hint=f"roost secrets list -a {found}")
    _send(app, dict.fromkeys(names), stage=stage)


@group.command("import", epilog="Example: roost secrets import -a shop < .env")
def import_secrets(app: context.AppOption = "", stage: Stage = False) -> None:
    """Set the secrets of a dotenv file. Standard input holds it: KEY=value lines."""
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
            return
        try:
            if any(release.get("status") == "complete" for release in client.releases.list(name)):
                progress.follow(client, client.deploys.start(name))
        except RoostError as error:
            raise _stays(error, name, values) from None


def _stays(error: RoostError, app: str, values: Mapping[str, str | None]) -> RoostError:
    """Return the error of a roll-out with what has become of the secrets, and the next step."""
    removed, it = None in values.values(), "it" if len(values) == 1 else "they"
    done = "removed, but that is" if removed else "stored, but"
    error.message = f"{it} {'is' if it == 'it' else 'are'} {done} not rolled out: {error.message}"
    if isinstance(error, Conflict):
        error.hint = "when that has ended, give this command again"
        return error
    after = "it with `roost secrets set`" if removed else "another value, or `roost secrets unset`"
    steps = (
        error.hint,
        "machines that run keep what they had, and any that starts from now on has the change",
        f"once that is mended: roost deploy -a {app}; to take the change back, set {after}",
    )
    error.hint = "; ".join(filter(None, steps))
    return error
