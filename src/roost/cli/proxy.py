"""`roost proxy`: a port of this computer leads to a port of a machine.

State: one listening socket and a tunnel per connection to it, all gone when the command ends. Half-closes are passed
on, and nobody is read faster than the other side takes it. A tunnel that can't be opened ends its connection, and the
reason is told; the command goes on.
"""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import context
from roost.model.errors import BadInput


def ports(text: str) -> tuple[int, int]:
    """Return the local and the remote port of `LOCAL:REMOTE` or `PORT`; local 0 is any free one. Raises BadInput."""
    local, _, remote = text.partition(":")
    words = (local, remote or local)
    if all(word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535 for word in words):
        found = int(words[0]), int(words[1])
        if found[1]:
            return found
    raise BadInput(f"{text[:40]!r} is not LOCAL:REMOTE", hint="two ports, like 15432:5432; or one for both")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("proxy", epilog="Example: roost proxy 15432:5432 -a shop-db")(proxy)


def proxy(
    mapping: Annotated[str, typer.Argument(metavar="LOCAL:REMOTE", help="Ports; local 0 takes a free one.")],
    app: context.AppOption = "",
    machine: Annotated[str, typer.Option("--machine", metavar="ID", help="This machine, else any.")] = "",
    bind: Annotated[str, typer.Option("--bind", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
) -> None:
    """Lead a port of this computer to a machine's. That is woken when somebody connects."""
    import asyncio

    from roost.cli.choose import choose
    from roost.cli.tunnels import serve

    local, remote = ports(mapping)
    name = context.app_name(app)
    with context.client() as client:
        machine_id = choose(client, name, machine, what="connect to")["id"]
    asyncio.run(serve(name, machine_id, (bind, local), remote))
