"""The API's socket: an answer does not wait for the acknowledgement of its head."""

from __future__ import annotations

import asyncio
import socket

from roost.daemon.api_server import bind_api


async def test_connections_to_the_api_send_small_packets_at_once() -> None:
    listening = bind_api(0)
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = writer.get_extra_info("socket")
        accepted.set_result(link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    server = await asyncio.start_server(serve, sock=listening)
    try:
        _reader, writer = await asyncio.open_connection(*listening.getsockname())
        assert await asyncio.wait_for(accepted, 5)
        writer.close()
    finally:
        server.close()
