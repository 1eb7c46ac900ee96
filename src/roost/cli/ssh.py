"""`roost ssh console`: a terminal in a machine of the app."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli import context, output
from roost.model.errors import BadInput, NotFound
from roost.model.names import check_machine_id

if TYPE_CHECKING:
    from roost.sdk import Client

group = typer.Typer(help="A terminal in a machine.", rich_markup_mode=None, no_args_is_help=True)
_ORDER = ("started", "suspended", "stopped", "created")  # which machine to take, the best first


@group.command(epilog="Example: roost ssh console -a shop -C 'python manage.py shell'")
def console(
    app: context.AppOption = "",
    machine: Annotated[str, typer.Option("--machine", metavar="ID", help="This machine, else any.")] = "",
    container: context.ContainerOption = "",
    command: Annotated[str, typer.Option("-C", "--command", metavar="COMMAND", help="In place of a shell.")] = "",
) -> None:
    """Open a terminal in a machine of the app, which is woken if it sleeps; ends with the command's exit code."""
    from roost.cli.terminal import attach, window_size

    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"the command can't be read: {error}", hint="quote it like a shell line") from None
    name = context.app_name(app)
    with context.client() as client:
        machine_id = _choose(client, name, check_machine_id(machine) if machine else "")
        rows, columns = window_size()
        opened = client.machines.console(name, machine_id, argv, rows=rows, columns=columns, container=container)
        try:
            code = attach(opened)
        finally:
            opened.close()
    raise typer.Exit(code)


def _choose(client: Client, app: str, wanted: str) -> str:
    """Return the id of a started machine; starts one if none runs. Raises NotFound when the app has none."""
    machines = [client.machines.get(app, wanted)] if wanted else client.machines.list(app)
    ready = sorted((m for m in machines if m.get("state") in _ORDER), key=lambda m: _ORDER.index(m["state"]))
    if not ready:
        raise NotFound(f"{app} has no machine to open a console in", hint=f"roost deploy -a {app}")
    chosen = ready[0]
    if chosen["state"] != "started":
        output.note(f"Starting {chosen['id']}, which was {chosen['state']}")
        client.machines.start(app, chosen["id"])
        client.machines.wait(app, chosen["id"], state="started", timeout=60)
    return chosen["id"]
