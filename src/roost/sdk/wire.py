"""What touches the network, once blocking and once on an event loop; all above it is written once.

The SDK's methods are coroutines. On `BlockingWire` every await is over when it returns, so that such a
coroutine runs to its end in one go (`finish`); on `AsyncWire` it waits on the caller's event loop. State:
the pool of HTTP connections. A wire raises what the libraries raise; `roost.sdk.transport` turns it into
the user's errors.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

import httpx2

T = TypeVar("T")
Chunks = Iterable[bytes] | AsyncIterable[bytes]
_SOCKET: dict[str, Any] = {"compression": None, "open_timeout": 15.0, "max_size": 1 << 20}


class Socket(Protocol):
    """An open WebSocket: bytes and text frames."""

    async def send(self, data: bytes | str) -> None:
        """Send a frame; returns when there is room for more."""

    def frames(self) -> AsyncIterator[bytes | str]:
        """Yield what comes, until the other side ends."""

    async def close(self) -> None:
        """End the connection."""


class Wire(Protocol):
    """Requests, streams and WebSockets to one API."""

    blocking: bool

    async def send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """Send a request; with `stream` the answer's body is read by `lines`, `events` or `body`."""

    def request(self, method: str, path: str, **options: Any) -> httpx2.Request:
        """Make a request."""

    async def body(self, answer: httpx2.Response) -> bytes:
        """Return all of a streamed answer's body."""

    def lines(self, answer: httpx2.Response) -> AsyncIterator[str]:
        """Yield the lines of a streamed answer while they come."""

    def events(self, answer: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Yield the server-sent events of a streamed answer while they come."""

    async def end(self, answer: httpx2.Response) -> None:
        """Be done with a streamed answer, read to its end or not."""

    async def socket(self, url: str, headers: Mapping[str, str], *, proxy: bool) -> Socket:
        """Open a WebSocket; raises what `websockets` raises."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def close(self) -> None:
        """Close the connections."""


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for an event loop, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a call of the blocking client waited for an event loop")


def pump(values: AsyncIterator[T]) -> Iterator[T]:
    """Yield from an asynchronous iterator that never waits for an event loop; closes it at the end."""
    try:
        while True:
            try:
                value = finish(_next(values))
            except StopAsyncIteration:
                return
            yield value
    finally:
        close = getattr(values, "aclose", None)
        if close is not None:
            finish(close())


async def _next(values: AsyncIterator[T]) -> T:
    return await values.__anext__()


class BlockingWire:
    """The wire of `roost.sdk.Client`."""

    blocking = True

    def __init__(self, **options: Any) -> None:
        self._client = httpx2.Client(**options)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Request:
        """Make a request."""
        return self._client.build_request(method, path, **options)

    async def send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """Send it."""
        return self._client.send(request, stream=stream)

    async def body(self, answer: httpx2.Response) -> bytes:
        """Read the whole answer."""
        return answer.read()

    async def lines(self, answer: httpx2.Response) -> AsyncIterator[str]:
        """Yield lines."""
        for line in answer.iter_lines():
            yield line

    async def events(self, answer: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Yield events."""
        for event in httpx2.EventSource(answer):
            yield event

    async def end(self, answer: httpx2.Response) -> None:
        """Close the answer."""
        answer.close()

    async def socket(self, url: str, headers: Mapping[str, str], *, proxy: bool) -> Socket:
        """Open a WebSocket."""
        from websockets.sync.client import connect

        closing = ExitStack()
        opened = connect(url, additional_headers=headers, proxy=True if proxy else None, **_SOCKET)
        return _BlockingSocket(closing.enter_context(opened), closing)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def close(self) -> None:
        """Close the pool."""
        self._client.close()


class _BlockingSocket:
    def __init__(self, connection: Any, closing: ExitStack) -> None:
        self._connection = connection
        self._closing = closing

    async def send(self, data: bytes | str) -> None:
        self._connection.send(data)

    async def frames(self) -> AsyncIterator[bytes | str]:
        for frame in self._connection:
            yield frame

    async def close(self) -> None:
        self._closing.close()


class AsyncWire:
    """The wire of `roost.sdk.AsyncClient`."""

    blocking = False

    def __init__(self, **options: Any) -> None:
        self._client = httpx2.AsyncClient(**options)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Request:
        """Make a request; a body that is made while it is sent may be an ordinary iterable too."""
        content = options.get("content")
        if content is not None and not isinstance(content, bytes | str | AsyncIterable):
            options["content"] = _slowly(content)
        return self._client.build_request(method, path, **options)

    async def send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """Send it."""
        return await self._client.send(request, stream=stream)

    async def body(self, answer: httpx2.Response) -> bytes:
        """Read the whole answer."""
        return await answer.aread()

    async def lines(self, answer: httpx2.Response) -> AsyncIterator[str]:
        """Yield lines."""
        async for line in answer.aiter_lines():
            yield line

    async def events(self, answer: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Yield events."""
        async for event in httpx2.EventSource(answer):
            yield event

    async def end(self, answer: httpx2.Response) -> None:
        """Close the answer."""
        await answer.aclose()

    async def socket(self, url: str, headers: Mapping[str, str], *, proxy: bool) -> Socket:
        """Open a WebSocket."""
        from websockets.asyncio.client import connect

        connection = await connect(url, additional_headers=headers, proxy=True if proxy else None, **_SOCKET)
        return _AsyncSocket(connection)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        import anyio

        await anyio.sleep(seconds)

    async def close(self) -> None:
        """Close the pool."""
        await self._client.aclose()


class _AsyncSocket:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, data: bytes | str) -> None:
        await self._connection.send(data)

    async def frames(self) -> AsyncIterator[bytes | str]:
        async for frame in self._connection:
            yield frame

    async def close(self) -> None:
        await self._connection.close()


async def _slowly(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
