"""The API's socket: an answer does not wait for the acknowledgement of its head."""

from __future__ import annotations

import asyncio
import errno
import select
import socket

import pytest

from roost.daemon import api_server
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


def test_a_client_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "UNREAD", 0.5)
    listening = bind_api(0)
    with listening, socket.socket() as client:
        listening.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listening.getsockname())
        ours, _ = listening.accept()
        with ours:
            ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                while ours.send(b"x" * 65536):
                    pass
            poll = select.poll()
            poll.register(ours, select.POLLERR | select.POLLHUP)
            assert poll.poll(10_000), "it waits for ever"
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT
