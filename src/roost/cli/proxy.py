"""`roost proxy`: a port of this computer leads to a port of a machine.

State: one listening socket and a tunnel per connection to it, all gone when the command ends. Half-closes are passed
on, and nobody is read faster than the other side takes it. A tunnel that can't be opened ends its connection, and the
reason is told; the command goes on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output
from roost.model.errors import BadInput, RoostError

if TYPE_CHECKING:
    from roost.sdk import AsyncClient

_CHUNK = 65536


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
    """Lead a port of this computer to a TCP port of a machine, which is woken when somebody connects."""
    from roost.cli.choose import choose

    local, remote = ports(mapping)
    name = context.app_name(app)
    with context.client() as client:
        machine_id = choose(client, name, machine, what="connect to")["id"]
    asyncio.run(_serve(name, machine_id, (bind, local), remote))


async def _serve(app: str, machine_id: str, address: tuple[str, int], port: int) -> None:
    """Listen until interrupted."""
    from roost.sdk import AsyncClient

    found = context.credentials()
    async with AsyncClient(found.url, found.token) as client:

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _carry(client, (app, machine_id, port), reader, writer)
            except RoostError as error:
                output.show_error(error)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

        try:
            server = await asyncio.start_server(connected, *address)
        except (OSError, socket.gaierror) as error:
            raise BadInput(f"can't listen on {address[0]}:{address[1]}: {error}", hint="another port?") from None
        async with server:
            host, listening = server.sockets[0].getsockname()[:2]
            output.say(f"{host}:{listening} leads to port {port} of machine {machine_id} ({app}). Ctrl-C ends it.")
            await server.serve_forever()


async def _carry(
    client: AsyncClient, target: tuple[str, str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry one connection's bytes both ways until both sides have ended, or one is gone."""
    tunnel = await client.machines.proxy(*target)

    async def out() -> None:
        while data := await reader.read(_CHUNK):
            await tunnel.write(data)
        await tunnel.write_eof()

    async def back() -> None:
        async for data in tunnel:
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    try:
        await _both(out(), back())
    finally:
        await tunnel.close()


async def _both(*ways: Coroutine[Any, Any, None]) -> None:
    """Run both; when one fails, the other is ended. A connection that is just gone is no error to tell."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    except OSError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
