"""The work of `roost proxy`: a listening socket, and a tunnel for each connection to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from roost.cli import context, output
from roost.model.errors import BadInput, RoostError

if TYPE_CHECKING:
    from roost.sdk import AsyncClient

_CHUNK = 65536


async def serve(app: str, machine_id: str, address: tuple[str, int], port: int) -> None:
    """Lead a local address to a port of a machine, until interrupted; raises BadInput if it is taken."""
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
