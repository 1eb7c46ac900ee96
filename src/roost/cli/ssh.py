"""`roost ssh console`: a terminal in a machine of the app; `roost ssh sftp`: its files."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from roost.cli import context, sftp
from roost.cli.choose import started
from roost.model.errors import BadInput

group = typer.Typer(help="A terminal in a machine, and its files.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(sftp.group, name="sftp")


@group.command(epilog="Example: roost ssh console -a shop -C 'python manage.py shell'")
def console(
    app: context.AppOption = "",
    machine: Annotated[str, typer.Option("--machine", metavar="ID", help="This machine, else any.")] = "",
    container: context.ContainerOption = "",
    command: Annotated[str, typer.Option("-C", "--command", metavar="COMMAND", help="In place of a shell.")] = "",
) -> None:
    """Open a terminal in a machine of the app. It is woken if it sleeps; ends with the command's exit code."""
    from roost.cli.terminal import attach, window_size

    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"the command can't be read: {error}", hint="quote it like a shell line") from None
    name = context.app_name(app)
    with context.client() as client:
        machine_id = started(client, name, machine, what="open a console in")
        rows, columns = window_size()
        opened = client.machines.console(name, machine_id, argv, rows=rows, columns=columns, container=container)
        try:
            code = attach(opened)
        finally:
            opened.close()
    raise typer.Exit(code)
