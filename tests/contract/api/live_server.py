"""The API behind uvicorn on a free loopback port, for what an in-process client can't show: streams and sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def served(api: FastAPI) -> AsyncIterator[str]:
    """Serve until the end of the block; yields `host:port`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(api, log_config=None, lifespan="off", timeout_graceful_shutdown=2, ws="websockets-sansio")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10)
        listener.close()
