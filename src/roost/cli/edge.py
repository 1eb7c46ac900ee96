"""`roost edge`: the edge of the cloud on this server, without the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import cloud, context

group = typer.Typer(help="The edge without roostd: start.", rich_markup_mode=None, no_args_is_help=True)
Foreground = Annotated[bool, typer.Option("--foreground", help="Stay in the foreground, for systemd.")]


@group.callback()
def edge() -> None:
    """The edge without roostd."""


@group.command(epilog="Example: roost edge start")
def start(home: context.HomeOption = None, foreground: Foreground = False) -> None:
    """Start the edge where roostd can't start. From its last good configuration; roostd takes over when it can."""
    if home is not None:
        context.set_home(home)
    cloud.become_daemon("edge-start", {"foreground": foreground})
