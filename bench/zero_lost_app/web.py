"""The app that bench/zero_lost.py changes while it is called: plain answers, streams, WebSockets, uploads.

`/` answers the release; `/stream` sends 20 numbered lines in two seconds; `/upload` counts what it gets; `/echo` is a
WebSocket that sends back what it is sent.
"""

import asyncio
import base64
import hashlib
import os
from pathlib import Path

RELEASE = Path(__file__).with_name("release.txt").read_text().strip()


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            path = lines[0].split()[1]
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            if path == "/echo":
                await echo(reader, writer, head)
                return
            if path == "/stream":
                await stream(writer)
                continue
            left = size = int(headers.get("content-length", 0))
            while left:
                left -= len(await reader.readexactly(min(left, 65536)))
            body = (str(size) if path == "/upload" else RELEASE).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def stream(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(20):
        line = b"%d\n" % number
        writer.write(b"%x\r\n%s\r\n" % (len(line), line))
        await writer.drain()
        await asyncio.sleep(0.1)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def echo(reader, writer, head):
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while True:
        first, second = await reader.readexactly(2)
        size, mask = second & 127, await reader.readexactly(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(size)))
        writer.write(bytes((first, size)) + data)
        await writer.drain()
        if first & 15 == 8:
            return


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ["PORT"]))
    await server.serve_forever()


asyncio.run(main())
