"""`roost console`: a terminal in a machine of its own, with the app's image, variables and secrets.

State: that machine. It goes when the terminal ends; one that this program could not remove ends by itself in a day.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.choose import choose
from roost.model.errors import BadInput, RoostError

if TYPE_CHECKING:
    from roost.sdk import Client

_LONGEST = ("/bin/sleep", "86400")
_KEPT = ("guest", "env", "files", "rootfs", "isolation", "stop_config")


def console(
    app: context.AppOption = "",
    command: Annotated[
        str, typer.Option("-C", "--command", metavar="COMMAND", help="In place of console_command, or a shell.")
    ] = "",
) -> None:
    """Run console_command in a machine of its own. That goes afterwards; ends with the command's exit code.

    The machine has the image, variables, files and secrets of the release that runs, and no volume.
    """
    from roost.cli.terminal import attach, window_size

    name = context.app_name(app)
    with context.client() as client:
        config, words = _machine(client, name), command or _console_command(client, name)
        try:
            argv = shlex.split(words)
        except ValueError as error:
            raise BadInput(f"the command can't be read: {error}", hint="quote it like a shell line") from None
        made = client.machines.create(name, config)
        output.note(f"machine {made['id']} is made for the console")
        try:
            client.machines.wait(name, made["id"], state="started", timeout=60)
            rows, columns = window_size()
            opened = client.machines.console(name, made["id"], argv, rows=rows, columns=columns)
            try:
                code = attach(opened)
            finally:
                opened.close()
        finally:
            with suppress(RoostError):
                client.machines.destroy(name, made["id"], force=True)
    raise typer.Exit(code)


def _console_command(client: Client, app: str) -> str:
    for release in client.releases.list(app):
        if release.get("status") == "complete":
            return str((release.get("config") or {}).get("console_command", ""))
    return ""


def _machine(client: Client, app: str) -> dict[str, Any]:
    """Return the configuration of the console's machine: that of one of the app's, serving nobody."""
    found = choose(client, app, "", what="take the image of")
    config = dict(found.get("config") or {})
    ref = found.get("image_ref") or {"digest": ""}
    out: dict[str, Any] = {key: config[key] for key in _KEPT if config.get(key)}
    guest = {key: value for key, value in (out.get("guest") or {}).items() if key != "persist_rootfs"}
    init = {key: value for key, value in (config.get("init") or {}).items() if key in ("user", "workdir")}
    return out | {
        "image": f"{str(config.get('image', '')).partition('@')[0]}@{ref['digest']}",
        "guest": guest,
        "init": init | {"exec": list(_LONGEST)},
        "restart": {"policy": "no"},
        "auto_destroy": True,
        "dns": {"skip_registration": True},
        "metadata": {"fly_process_group": "fly_app_console"},
    }


def register(app: typer.Typer) -> None:
    """Add the command to `roost`."""
    app.command(epilog="Example: roost console -a shop -C 'python manage.py shell'")(console)
