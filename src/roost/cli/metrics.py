"""`roost metrics`: what the programs of an app's machines say of themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import context, output
from roost.cli.waiting import waiting


def metrics(
    name: Annotated[str, typer.Argument(metavar="[APP]", help="The app; else as with -a.")] = "",
    app: context.AppOption = "",
) -> None:
    """Show the app's latest metrics, as Prometheus text."""
    with context.client() as client, waiting("Asking the app's machines"):
        text = client.apps.metrics(context.app_name(name or app))
    for line in text.splitlines():
        output.say(output.printable(line))


def register(app: typer.Typer) -> None:
    """Add the command to `roost`."""
    app.command(epilog="Example: roost metrics shop")(metrics)
