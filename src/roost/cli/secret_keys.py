"""`roost secrets keys`: keys that an app uses and nobody can read."""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.cli import context, output, prompts
from roost.model.errors import BadInput

group = typer.Typer(help="Secret keys: list, generate, set, remove.", rich_markup_mode=None, no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]
Type = Annotated[
    str,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="hs256, hs384, hs512, es256, xaes256gcm, nacl_auth, nacl_box, nacl_secretbox or nacl_sign.",
    ),
]


@group.command("list", epilog="Example: roost secrets keys list -a shop")
def list_keys(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List an app's keys with their types and public halves."""
    with context.client() as client:
        found = client.secret_keys.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = ((key["name"], key["type"], key.get("public_key", ""), output.since(key["updated_at"])) for key in found)
    output.say(output.table(("name", "type", "public key", "set"), rows))


@group.command(epilog="Example: roost secrets keys generate sessions --type hs256 -a shop")
def generate(name: Name, kind: Type, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Make a random key."""
    with context.client() as client:
        made = client.secret_keys.generate(context.app_name(app), name, kind)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"made {name} ({kind})" + (f", public key {made['public_key']}" if "public_key" in made else ""))


@group.command("set", epilog="Example: roost secrets keys set sessions @key.b64 --type hs256 -a shop")
def set_key(
    name: Name,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="@FILE, or - for stdin: the key as base64.")],
    kind: Type,
    app: context.AppOption = "",
) -> None:
    """Store a key that was made elsewhere. It replaces what has its name."""
    if source != "-" and not source.startswith("@"):
        raise BadInput("a key is not given on the command line", hint="give @FILE, or - for standard input")
    try:
        text = sys.stdin.read() if source == "-" else Path(source[1:]).read_text()
        value = base64.b64decode(text.strip(), validate=True)
    except OSError as error:
        raise BadInput(f"can't read {source[1:]}: {error.strerror}") from None
    except (binascii.Error, ValueError):
        raise BadInput("the key is not base64", hint="base64 -w0 < key > key.b64") from None
    with context.client() as client:
        client.secret_keys.set(context.app_name(app), name, kind, value)
    output.say(f"set {name} ({kind})")


@group.command(epilog="Example: roost secrets keys remove sessions -a shop")
def remove(name: Name, app: context.AppOption = "", yes: context.YesOption = False) -> None:
    """Remove a key for good."""
    prompts.confirm(f"Remove the key {name}? What it encrypted can't be read any more.", yes=yes)
    with context.client() as client:
        client.secret_keys.remove(context.app_name(app), name)
    output.say(f"removed {name}")
