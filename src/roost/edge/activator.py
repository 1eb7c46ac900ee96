"""The activator: receives the requests of apps that are not in Envoy, has them woken, and splices.

It reads the head of one request per connection, asks the `Waker` for an endpoint, and from then on
only moves bytes in both directions, so uploads, streams and WebSockets work. It owns no state beyond
its connections. Bounds: `MAX_WAITING` requests wait for a wake-up at once, `MAX_WAITING_PER_HOST` for
one host, and then for room on a machine that has a hard_limit (slots.py); a client that goes away cancels its wait. If
roostd dies its connections break, and Envoy tells the clients that the control plane is restarting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from roost.edge import admission
from roost.edge.challenges import Challenges
from roost.edge.connection_server import ConnectionServer
from roost.edge.contract import Endpoint, Refusal, Waker, WakeResult
from roost.edge.entries import Activation, Sighting
from roost.edge.head import PRIVATE, PRIVATE_HOST, BadHead, Head, parse_head, with_header
from roost.edge.http_head import END
from roost.edge.replies import MARK
from roost.edge.slots import Slots
from roost.edge.splice import (
    BAD_HEAD,
    BROKEN,
    CHUNK,
    CLOSED,
    HEAD_TIMEOUT,
    connect,
    flush,
    move,
    not_listening,
    refusal_of,
    refuse,
    send_last,
)
from roost.edge.static_paths import HEADER, METHODS, AppStatics, FindStatics

MAX_WAITING = 4096
MAX_WAITING_PER_HOST = 1024
EARLY_BODY = 64 * 1024  # bytes of the body that are taken while the app wakes
_OURS = (MARK, PRIVATE, PRIVATE_HOST)  # request headers that are for the activator alone
LAST_WORDS = 1.0  # seconds for the answer of an app that reads no more of an upload

Count = Callable[[str, int], None]  # app, +1 or -1

_CROWDED = refusal_of("too_many_waiting")
_NO_STATICS = refusal_of("statics_unavailable")


class StaticDoor:
    """Where files are served that need no app to be awake, and which requests are for them."""

    def __init__(self, socket: Path, find: FindStatics) -> None:
        self.socket = socket
        self._find = find

    async def asked_for(self, head: Head, host: str) -> tuple[AppStatics, str] | None:
        """Return whose file a request is for and what the server must be told of it; None: it is for the app."""
        found = await self._find(host) if head.method in METHODS else None
        value = found.asked_for(head.method, head.target) if found else ""
        return (found, value) if found and value else None


class Activator(ConnectionServer):
    """A server on a unix socket. `count` is told when an app's request begins and ends to be spliced.

    `note` is told, by request id, what became of a request before the app had it.
    """

    def __init__(
        self,
        path: Path,
        waker: Waker,
        count: Count,
        report: Callable[[BaseException], None],
        statics: StaticDoor | None = None,
        challenges: Challenges | None = None,
        https_port: int = 0,
        note: Callable[[str, Activation], None] = lambda _id, _activation: None,
        slots: Slots | None = None,
    ) -> None:
        self._statics, self._slots = statics, slots or Slots()
        self._challenges = challenges or Challenges()
        self._https_port = https_port
        super().__init__(path, report)
        self._waker, self._count, self._note = waker, count, note
        self._waiting: Counter[str] = Counter()
        self._total = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a wake-up now."""
        return self._total

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = parse_head(await reader.readuntil(END), drop=_OURS)
        except (BadHead, asyncio.LimitOverrunError, TimeoutError):
            await refuse("GET", "", BAD_HEAD, reader, writer)
            return
        answer = self._challenges.answer(head.host, head.target)
        if answer is not None:
            await _send(head, _answer(answer), reader, writer)
            return
        host = (self._waker.host_at(head.private) or head.private) if head.private else head.host
        seen = Sighting(head.request_id, self._note)
        if self._total >= MAX_WAITING or self._waiting[host] >= MAX_WAITING_PER_HOST:
            seen.refused("", _CROWDED.code)
            await refuse(head.method, head.accept, _CROWDED, reader, writer)
            return
        if self._statics is not None and (static := await self._statics.asked_for(head, host)) is not None:
            seen.static(static[0].app)
            if self._must_be_secure(head, static[0].force_https):
                await _send(head, _moved(head, self._https_port), reader, writer)
            else:
                await self._pass_on(self._statics, head, static[1], reader, writer)
            return
        body = bytearray()
        result = await self._wake(host, reader, body, seen)
        if result is None:
            return
        if result.endpoint is None:
            seen.refused(result.app, (result.refusal or BROKEN).code)
            await refuse(head.method, head.accept, result.refusal or BROKEN, reader, writer)
            return
        try:
            if self._must_be_secure(head, result.force_https):
                await _send(head, _moved(head, self._https_port), reader, writer)
                return
            await self._serve_app(head, body, result, result.endpoint, seen, reader, writer)
        finally:
            if result.hard_limit:
                self._slots.leave(result.app, result.endpoint)

    async def _serve_app(
        self, head: Head, body: bytearray, result: WakeResult, endpoint: Endpoint, seen: Sighting,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self._count(result.app, 1)
        try:
            refusal = await _splice(head.raw + bytes(body), endpoint, reader, writer, seen.connected)
            if refusal is not None:
                seen.refused(result.app, refusal.code)
                await refuse(head.method, head.accept, refusal, reader, writer)
        finally:
            self._count(result.app, -1)

    def _must_be_secure(self, head: Head, force: bool) -> bool:
        return force and bool(self._https_port) and not head.secure and not head.private

    async def _pass_on(
        self, door: StaticDoor, head: Head, value: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Let who serves statics answer; the app sleeps on."""
        try:
            from_server, to_server = await asyncio.open_unix_connection(door.socket, limit=CHUNK)
        except OSError:
            await refuse(head.method, head.accept, _NO_STATICS, reader, writer)
            return
        if not await _between(with_header(head, HEADER, value), reader, writer, from_server, to_server):
            await refuse(head.method, head.accept, _NO_STATICS, reader, writer)

    async def _woken(self, host: str, seen: Sighting) -> WakeResult:
        """Return what the waker says, when the machine has room too; then `slots` must be left."""
        result = await self._waker.wake(host)
        seen.woken(result)
        if result.endpoint is None or not result.hard_limit:
            return result
        place = await self._slots.enter(result.app, result.endpoint, result.hard_limit, admission.QUEUE_WAIT)
        seen.admitted(place)
        if place is None:
            return WakeResult(refusal=refusal_of("app_queue_timeout"), app=result.app)
        return replace(result, endpoint=place)

    async def _wake(
        self, host: str, reader: asyncio.StreamReader, body: bytearray, seen: Sighting
    ) -> WakeResult | None:
        """Wait for the waker and for room; None when the client went away. `body` takes what it sends meanwhile."""
        self._waiting[host] += 1
        self._total += 1
        wake = asyncio.ensure_future(self._woken(host, seen))
        gone = asyncio.ensure_future(_collect(reader, body))
        try:
            await asyncio.wait((wake, gone), return_when=asyncio.FIRST_COMPLETED)
            if not wake.done():
                if gone.result():
                    return None
                await asyncio.wait((wake,))
            return wake.result()
        except Exception as error:
            self._report(error)
            return WakeResult(refusal=BROKEN)
        finally:
            wake.cancel()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await gone
            self._total -= 1
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host]


async def _collect(reader: asyncio.StreamReader, body: bytearray) -> bool:
    """Take in the body's beginning; True when the client went away, False when there is enough of it."""
    while len(body) < EARLY_BODY:
        data = await reader.read(EARLY_BODY)
        if not data:
            return True
        body += data
    return False


async def _splice(
    first: bytes,
    endpoint: Endpoint,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    connected: Callable[[], None],
) -> Refusal | None:
    """Send `first` to the app and move bytes until either side ends; a Refusal if there is no answer."""
    try:
        from_app, to_app = await connect(endpoint)
    except (OSError, TimeoutError):
        return not_listening(endpoint)
    connected()
    return None if await _between(first, reader, writer, from_app, to_app) else CLOSED


async def _between(
    first: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_app: asyncio.StreamReader,
    to_app: asyncio.StreamWriter,
) -> bool:
    """Send `first`, then move bytes both ways until either side ends; False when the app did without an answer."""
    try:
        to_app.write(first)
        # Envoy closes the connection when the response is complete or the client went away, and takes
        # an end from the app as the end of the response: the first end is the end of both.
        sent = asyncio.ensure_future(move(reader, to_app))
        answered = asyncio.ensure_future(_move_answer(from_app, writer))
        try:
            await asyncio.wait((sent, answered), return_when=asyncio.FIRST_COMPLETED)
            if sent.done() and sent.exception() is not None:
                await asyncio.wait((answered,), timeout=LAST_WORDS)  # an app may answer and not read all of an upload
        finally:
            sent.cancel()
            answered.cancel()
            ends = await asyncio.gather(sent, answered, return_exceptions=True)
        if ends[1] is False:
            return False
        with contextlib.suppress(OSError):
            await flush(writer)
        return True
    finally:
        to_app.transport.abort()


async def _move_answer(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> bool:
    """Move what an app answers until it ends; False when it ended before it began."""
    try:
        data = await source.read(CHUNK)
    except OSError:
        return False
    if data:
        target.write(data)
        await target.drain()
        await move(source, target)
    return bool(data)


def _answer(text: str) -> tuple[str, str, bytes]:
    """Return the response to a certificate authority's challenge; no app is woken for it."""
    return "200 OK", "Content-Type: application/octet-stream", text.encode()


def _moved(head: Head, port: int) -> tuple[str, str, bytes]:
    """Return the response that leads to the same place by https."""
    place = head.host if port == 443 else f"{head.host}:{port}"
    return "301 Moved Permanently", f"Location: https://{place}{head.target}", b""


async def _send(
    head: Head, response: tuple[str, str, bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a response of our own: status, a header and the body."""
    status, header, body = response
    lines = (f"HTTP/1.1 {status}", header, f"Content-Length: {len(body)}", "Connection: close")
    await send_last(head.method, "\r\n".join(lines), body, reader, writer)
