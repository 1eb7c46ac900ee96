"""Questions to the user. Without a terminal nothing is ever asked: the command says which flag answers it."""

from __future__ import annotations

import sys

import typer

from roost.model.errors import BadInput


def interactive() -> bool:
    """Tell whether somebody can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, default: bool = False) -> None:
    """Return if the answer is yes; raises typer.Exit(1) if it is no, BadInput if nobody can answer."""
    if yes:
        return
    if not interactive():
        raise BadInput(f"there is no terminal to ask on: {question}", hint="add --yes if that is meant")
    if not typer.confirm(question, default=default, err=True):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)
