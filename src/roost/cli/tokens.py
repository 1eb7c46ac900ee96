"""`roost tokens`: make, list, revoke and weaken tokens."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from roost.cli import context, output, prompts
from roost.model.config_reading import parse_duration
from roost.model.errors import BadInput

group = typer.Typer(help="Tokens: create, list, show, revoke, attenuate.", rich_markup_mode=None, no_args_is_help=True)
Org = Annotated[str, typer.Option("--org", metavar="ORG", help="The org it is for.")]
Apps = Annotated[list[str], typer.Option("-a", "--app", metavar="APP", help="Only for this app; may be repeated.")]
Machine = Annotated[str, typer.Option("--machine", metavar="ID", help="Only for this machine.")]
Expiry = Annotated[str, typer.Option("--expiry", metavar="TIME", help="How long it counts, like 24h or 30d.")]
TokenId = Annotated[str, typer.Argument(metavar="ID", help="The token's id.")]


@group.command(epilog="Example: roost tokens create ci -a shop --expiry 30d")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")] = "",
    org: Org = "",
    app: Apps = [],  # noqa: B006
    machine: Machine = "",
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="admin, deployer or reader.")] = "",
    only_exec: Annotated[bool, typer.Option("--exec", help="Only to run commands in machines.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only to look.")] = False,
    user: Annotated[str, typer.Option("--user", metavar="USER", help="With the user's roles in the orgs.")] = "",
    cloud: Annotated[bool, typer.Option("--cloud", help="For the whole cloud.")] = False,
    expiry: Expiry = "90d",
    as_json: context.JsonOption = False,
) -> None:
    """Make a token. It is printed once; keep it where only its user can read it."""
    kind = _kind(org, app, user, only_exec=only_exec, read_only=read_only, cloud=cloud)
    with context.client() as client:
        if app and not org:
            org = str((client.apps.get(app[0]).get("organization") or {}).get("slug", ""))
        if kind != "readonly" and kind in ("org", "exec") and not org:
            org = "personal"
        made = client.tokens.create(
            name, type=kind, org=org, user=user, role=role or None, apps=app, machine=machine, expiry=expiry
        )
    if as_json:
        output.say_json(made)
        return
    output.note(f"Token {made.get('id')} for {_scope(dict(made))}, {_until(made.get('expires_at'))}:")
    output.say(str(made.get("token")))


def _kind(org: str, apps: list[str], user: str, *, only_exec: bool, read_only: bool, cloud: bool) -> str:
    if only_exec and read_only:
        raise BadInput("--exec and --read-only are both given", hint="choose one")
    if only_exec:
        return "exec"
    if read_only:
        return "readonly"
    if cloud:
        return "cloud"
    if apps:
        return "app"
    return "user" if user and not org else "org"


@group.command("list", epilog="Example: roost tokens list --org acme")
def list_tokens(org: Org = "", as_json: context.JsonOption = False) -> None:
    """List the tokens that yours may manage. Never what they are made of."""
    with context.client() as client:
        found = client.tokens.list(org)
    if as_json:
        output.say_json(found)
        return
    rows = (
        (t.get("id"), t.get("name"), _scope(dict(t)), t.get("role"), output.since(t.get("created_at")), _state(dict(t)))
        for t in found
    )
    output.say(output.table(("id", "name", "for", "role", "created", "state"), rows))


@group.command(epilog="Example: roost tokens show 0123456789ab")
def show(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="A token's id; else the token in use.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """Show a token, or what the one in use was weakened by. That without asking the cloud."""
    if token_id:
        with context.client() as client:
            found: dict[str, Any] = dict(client.tokens.get(token_id))
    else:
        from roost.model.token_text import conditions_of, read

        macaroon = read(context.credentials().token)
        found = {"id": macaroon.identifier.decode("utf-8", "replace"), "conditions": conditions_of(macaroon)}
    if as_json:
        output.say_json(found)
        return
    rows = [(key.replace("_", " "), value) for key, value in found.items() if key != "conditions"]
    output.say(output.fields((key, _text(value)) for key, value in rows))
    for condition in found.get("conditions", ()):
        output.say(f"only  {output.printable(condition)}")


@group.command(epilog="Example: roost tokens revoke 0123456789ab --yes")
def revoke(token_id: TokenId, yes: context.YesOption = False) -> None:
    """Revoke a token. With it all that were made from it by attenuation."""
    with context.client() as client:
        found = client.tokens.get(token_id)
        prompts.confirm(f"Revoke the token {token_id} ({output.printable(str(found.get('name')))})?", yes=yes)
        client.tokens.revoke(token_id)
    output.say(f"{token_id} is revoked.")


@group.command(epilog="Example: roost tokens attenuate -a shop --action read --expiry 1h")
def attenuate(
    org: Org = "",
    app: Apps = [],  # noqa: B006
    app_id: Annotated[
        list[str], typer.Option("--app-id", metavar="ID", help="Only for the app with this id; may be repeated.")
    ] = [],  # noqa: B006
    machine: Machine = "",
    action: Annotated[
        list[str], typer.Option("--action", metavar="WORD", help="read, write, exec or manage; may be repeated.")
    ] = [],  # noqa: B006
    expiry: Annotated[str, typer.Option("--expiry", metavar="TIME", help="From now on, like 15m or 12h.")] = "",
    source: Annotated[
        list[str], typer.Option("--from", metavar="ADDRESS", help="An address or network it is used from.")
    ] = [],  # noqa: B006
    stdin: Annotated[bool, typer.Option("--stdin", help="Weaken the token on standard input.")] = False,
) -> None:
    """Print a weaker copy of the token in use. The cloud is not asked."""
    from roost.model.token_text import weakened

    conditions = [f"org = {org}"] if org else []
    conditions += [f"app = {','.join(app)}"] if app else []
    conditions += [f"app_id = {','.join(app_id)}"] if app_id else []
    conditions += [f"machine = {machine}"] if machine else []
    conditions += [f"action = {','.join(action)}"] if action else []
    conditions += [f"time < {int(time.time() + parse_duration(_hours(expiry), '--expiry'))}"] if expiry else []
    conditions += [f"ip = {address}" for address in source]
    token = sys.stdin.readline().strip() if stdin else context.credentials().token
    output.say(weakened(token, conditions))


def _hours(text: str) -> str:
    """Return a duration in days as one in hours, which all of them can be written in."""
    days = text.removesuffix("d")
    return f"{int(days) * 24}h" if text.endswith("d") and days.isdecimal() and len(days) < 6 else text


def _scope(token: dict[str, Any]) -> str:
    if token.get("machine"):
        return f"machine {token['machine']}"
    if token.get("apps"):
        return "app " + ", ".join(token["apps"])
    if token.get("org_slug"):
        return f"org {token['org_slug']}"
    return f"user {token['user']}" if token.get("user") else "the cloud"


def _until(stamp: object) -> str:
    return f"until {stamp}" if stamp else "for ever"


def _state(token: dict[str, Any]) -> str:
    return "revoked" if token.get("revoked_at") else _until(token.get("expires_at"))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
