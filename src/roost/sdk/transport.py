"""Requests to one Roost API: paths, tokens, retries and errors, for the blocking and the async client alike.

State: the wire with its pool. Invariant: a request whose effect is unknown is never sent twice. Refused
connections are tried again for `patience` seconds (roostd restarts in a second or two), since a refused request
was never delivered, and so is what was refused as one call too many (429); a connection that breaks later, or an
answer that there is no room just now (503 with Retry-After), is tried again for reads only.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from roost import __version__
from roost.model.errors import BadInput, TimedOut
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.wire import AsyncWire, BlockingWire, Chunks, Socket, Wire

Query = Mapping[str, str | int | float | bool | list[str] | None]
_READS = ("GET", "HEAD")
_KEY_LIMIT = 255  # characters of an idempotency key


def join(*segments: str) -> str:
    """Return the path `/v1/...` of `segments`, each percent-encoded; raises BadInput for empty ones and dots."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise BadInput(f"{segment!r} can't be a name or an id")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def is_loopback(url: str) -> bool:
    """Tell whether a URL's host is this machine, so that no proxy is asked and no TLS is needed."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_base_url(url: str) -> str:
    """Return an API address without a trailing slash or `/v1`; raises BadInput if it isn't an http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadInput(f"{url[:200]!r} is not an API's address", hint="write it like https://cloud.example:4280")
    return url.rstrip("/").removesuffix("/v1")


class Transport:
    """Sends requests with the token and turns answers into values or errors. `timeout` is seconds per request."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        wire: type[BlockingWire] | type[AsyncWire] = BlockingWire,
        timeout: float = 60.0,
        patience: float = 3.0,
        http: object = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.local = is_loopback(self.base_url)
        self._token = token
        self._patience = patience
        self._key = ""
        self.wire: Wire = wire(
            base_url=self.base_url,
            headers={"User-Agent": f"roost/{__version__}", "Accept": "application/json"},
            timeout=httpx2.Timeout(timeout, connect=10.0),
            trust_env=not self.local,
            transport=http,
        )

    @property
    def blocking(self) -> bool:
        """Whether calls return when they are answered, rather than being awaited."""
        return self.wire.blocking

    @property
    def authorization(self) -> dict[str, str]:
        """The header that carries the token; empty without one."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def keyed(self, key: str) -> Transport:
        """Return one on the same connections that sends changes with this Idempotency-Key; raises BadInput."""
        if not 1 <= len(key) <= _KEY_LIMIT or not key.isascii() or not key.isprintable():
            raise BadInput(f"{key[:80]!r} can't be an idempotency key", hint="a fresh UUID is a good one")
        other = copy.copy(self)
        other._key = key
        return other

    async def close(self) -> None:
        """Close the pool's connections."""
        await self.wire.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the answer's JSON (None when it has none); raises RoostError."""
        answer = await self.send(method, path, query=query, body=body, timeout=timeout, headers=headers)
        return self._json(answer.content, f"{method} {path}")

    async def text(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> str:
        """Send a request and return the answer's text; raises RoostError."""
        return (await self.send(method, path, query=query, body=body)).text

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a request and return the answer, which is a good one; raises RoostError."""
        headers = self.authorization | self._idempotency(method) | dict(headers or {})
        options: dict[str, Any] = {"params": _clean(query), "headers": headers}
        if body is not None:
            options["json"] = body
        if timeout is not None:
            options["timeout"] = httpx2.Timeout(timeout, connect=10.0)
        answer = await self._persist(self.wire.request(method, path, **options))
        if answer.status_code >= 400:
            raise error_from_answer(answer.status_code, answer.content, answer.headers, request=f"{method} {path}")
        return answer

    async def upload(self, path: str, chunks: Chunks, content_type: str, *, timeout: float = 600.0) -> Any:
        """POST a body that is made while it is sent, and return the answer's JSON. It is never sent twice."""
        await self.call("GET", "/healthz")  # waits for a restarting roostd, which a stream could not be replayed to
        headers = {**self.authorization, **self._idempotency("POST"), "Content-Type": content_type}
        with self._translated("POST", path):
            request = self.wire.request("POST", path, content=chunks, headers=headers, timeout=timeout)
            answer = await self.wire.send(request)
        if answer.status_code >= 400:
            raise error_from_answer(answer.status_code, answer.content, answer.headers, request=f"POST {path}")
        return self._json(answer.content, f"POST {path}")

    async def lines(self, path: str, *, query: Query | None = None, silence: float) -> AsyncGenerator[str, None]:
        """GET an answer and yield its lines while they come; see `_stream`."""
        async with self._stream(path, query, silence, "application/x-ndjson") as answer:
            async for line in self.wire.lines(answer):
                yield line

    async def events(
        self, path: str, *, query: Query | None = None, silence: float
    ) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """GET an answer and yield its server-sent events while they come; see `_stream`."""
        async with self._stream(path, query, silence, "text/event-stream") as answer:
            async for event in self.wire.events(answer):
                yield event

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Query | None, silence: float, accept: str
    ) -> AsyncIterator[httpx2.Response]:
        """GET an answer that is read while it comes; `silence` is how long (seconds) it may say nothing.

        Raises Unreachable when it breaks off, TimedOut when it falls silent.
        """
        headers = {**self.authorization, "Accept": accept}
        timeout = httpx2.Timeout(silence, connect=10.0)
        with self._translated("GET", path):
            request = self.wire.request("GET", path, params=_clean(query), headers=headers, timeout=timeout)
            answer = await self._persist(request, stream=True)
            try:
                if answer.status_code >= 400:
                    body = await self.wire.body(answer)
                    raise error_from_answer(answer.status_code, body, answer.headers, request=f"GET {path}")
                yield answer
            finally:
                await self.wire.end(answer)

    async def socket(self, path: str, query: Sequence[tuple[str, str]]) -> Socket:
        """Open a WebSocket; raises the API's errors, or Unreachable."""
        from websockets.exceptions import InvalidHandshake, InvalidStatus

        address = self.base_url.replace("http", "ws", 1) + path + "?" + urlencode(query)
        try:
            return await self.wire.socket(address, self.authorization, proxy=not self.local)
        except InvalidStatus as error:
            answer = error.response
            headers = {key.lower(): value for key, value in answer.headers.raw_items()}
            body = bytes(answer.body or b"")
            raise error_from_answer(answer.status_code, body, headers, request=f"GET {path}") from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Unreachable(f"{path} at {self.base_url} can't be reached: {error}") from error

    def _idempotency(self, method: str) -> dict[str, str]:
        return {} if method in _READS else {"Idempotency-Key": self._key or str(uuid.uuid4())}

    async def _persist(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """Send; try again within `patience` where that can't do a thing twice."""
        deadline = time.monotonic() + self._patience
        method, pause = request.method, 0.05
        while True:
            try:
                with self._translated(method, request.url.path):
                    answer = await self.wire.send(request, stream=stream)
                wanted = _retry_after(answer, method)
                if wanted is None or time.monotonic() + wanted > deadline:
                    return answer
                if stream:
                    await self.wire.end(answer)
                await self.wire.sleep(wanted)
                continue
            except Unreachable as error:
                repeatable = _was_refused(error) or method in _READS
                if not repeatable or time.monotonic() + pause > deadline:
                    raise
            await self.wire.sleep(pause)
            pause = min(pause * 2, 0.5)

    @contextmanager
    def _translated(self, method: str, path: str) -> Iterator[None]:
        """Turn the HTTP library's failures into the user's."""
        try:
            yield
        except httpx2.TimeoutException as error:
            raise TimedOut(f"{method} {self.base_url}{path} was not answered in time") from error
        except (httpx2.TransportError, httpx2.StreamError) as error:
            why = "the connection was refused" if _was_refused(error) else str(error) or type(error).__name__
            raise Unreachable(
                f"the API at {self.base_url} can't be reached: {why}",
                hint=_next_step(str(error), self.local),
            ) from error

    @staticmethod
    def _json(body: bytes, request: str) -> Any:
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise Unreachable(
                f"{request} was answered with something that is not JSON", hint="is this address a Roost API's?"
            ) from error


def _retry_after(answer: httpx2.Response, method: str) -> float | None:
    """Return after how many seconds a refused request is worth another try; None: it is not."""
    if answer.status_code != 429 and not (answer.status_code == 503 and method in _READS):
        return None
    after = answer.headers.get("retry-after", "")
    return float(after) if after.isascii() and after.isdigit() else None


def _clean(query: Query | None) -> dict[str, Any]:
    """Drop what was not given; a flag is sent as true or false."""
    out: dict[str, Any] = {}
    for key, value in (query or {}).items():
        if isinstance(value, bool):
            out[key] = "true" if value else "false"
        elif value not in (None, "", []):
            out[key] = value
    return out


def _was_refused(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False


def _next_step(why: str, local: bool) -> str:
    """Return what to do about an API that can't be reached. Pure."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "this computer does not trust its certificate: SSL_CERT_FILE=FILE names the authority that signed it"
    return "is the cloud up? `roost status` tells, `roost up` starts it" if local else "is the address right?"
