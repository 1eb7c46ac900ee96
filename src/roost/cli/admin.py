"""`roost admin`: what the cloud's operator does now and then."""

from __future__ import annotations

import typer

from roost.cli import context, output

group = typer.Typer(help="For the cloud's operator: rotate-keys.", rich_markup_mode=None, no_args_is_help=True)


@group.callback()
def admin() -> None:
    """For the cloud's operator."""


@group.command("rotate-keys", epilog="Example: roost admin rotate-keys")
def rotate_keys(as_json: context.JsonOption = False) -> None:
    """Replace the key that encrypts all others. Machines go on; back HOME/keys up again afterwards."""
    with context.client() as client:
        done = client.admin.rotate_keys()
    if as_json:
        output.say_json(done)
        return
    output.say(f"key {done['key']} is in use; {done['data_keys']} data keys were encrypted anew with it")
    output.note("Back up HOME/keys again: what was encrypted before needs the older key only in older backups.")
