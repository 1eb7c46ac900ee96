"""One HTTP connection pool to one Roost API: paths, tokens, retries and errors. The seam of the SDK.

State: the pool. Invariant: a request whose effect is unknown is never sent twice. Refused connections
are tried again for `patience` seconds (roostd restarts in a second or two), since a refused request
was never delivered; a connection that breaks later is tried again for reads only.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2

from roost import __version__
from roost.model.errors import BadInput, TimedOut
from roost.sdk.errors import Unreachable, error_from_answer

Query = Mapping[str, str | int | float | bool | list[str] | None]
_READS = ("GET", "HEAD")
_T = TypeVar("_T")


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
        timeout: float = 60.0,
        patience: float = 3.0,
        http: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.local = is_loopback(self.base_url)
        self._token = token
        self._patience = patience
        self._client = httpx2.Client(
            base_url=self.base_url,
            headers={"User-Agent": f"roost/{__version__}", "Accept": "application/json"},
            timeout=httpx2.Timeout(timeout, connect=10.0),
            trust_env=not self.local,
            transport=http,
        )

    @property
    def authorization(self) -> dict[str, str]:
        """The header that carries the token; empty without one."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def close(self) -> None:
        """Close the pool's connections."""
        self._client.close()

    def call(
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
        headers = self.authorization | dict(headers or {})
        if method not in _READS:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        options: dict[str, Any] = {"params": _clean(query), "headers": headers}
        if body is not None:
            options["json"] = body
        if timeout is not None:
            options["timeout"] = httpx2.Timeout(timeout, connect=10.0)
        answer = self._persist(method, path, lambda: self._client.request(method, path, **options))
        if answer.status_code >= 400:
            raise error_from_answer(answer.status_code, answer.content, answer.headers, request=f"{method} {path}")
        return self._json(answer.content, f"{method} {path}")

    def upload(self, path: str, chunks: Iterable[bytes], content_type: str, *, timeout: float = 600.0) -> Any:
        """POST a body that is made while it is sent, and return the answer's JSON. It is never sent twice."""
        self.call("GET", "/healthz")  # waits for a restarting roostd, which a stream could not be replayed to
        headers = {**self.authorization, "Content-Type": content_type, "Idempotency-Key": str(uuid.uuid4())}
        with self._translated("POST", path):
            answer = self._client.post(path, content=iter(chunks), headers=headers, timeout=timeout)
        if answer.status_code >= 400:
            raise error_from_answer(answer.status_code, answer.content, answer.headers, request=f"POST {path}")
        return self._json(answer.content, f"POST {path}")

    @contextmanager
    def stream(
        self, path: str, *, query: Query | None = None, silence: float, accept: str
    ) -> Iterator[httpx2.Response]:
        """GET an answer that is read while it comes; `silence` is how long (seconds) it may say nothing.

        Raises Unreachable when it breaks off, TimedOut when it falls silent.
        """
        headers = {**self.authorization, "Accept": accept}
        timeout = httpx2.Timeout(silence, connect=10.0)
        with self._translated("GET", path):
            request = self._client.build_request("GET", path, params=_clean(query), headers=headers, timeout=timeout)
            answer = self._persist("GET", path, lambda: self._client.send(request, stream=True))
            try:
                if answer.status_code >= 400:
                    body = answer.read()
                    raise error_from_answer(answer.status_code, body, answer.headers, request=f"GET {path}")
                yield answer
            finally:
                answer.close()

    def _persist(self, method: str, path: str, send: Callable[[], _T]) -> _T:
        """Send; try again within `patience` where that can't do a thing twice."""
        deadline = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                with self._translated(method, path):
                    return send()
            except Unreachable as error:
                repeatable = _was_refused(error) or method in _READS
                if not repeatable or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
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
                hint="is the cloud up? `roost status` tells, `roost up` starts it"
                if self.local
                else "is the address right?",
            ) from error

    @staticmethod
    def _json(body: bytes, request: str) -> Any:
        if not body.strip():
            return None
        try:
            return httpx2.Response(200, content=body).json()
        except ValueError as error:
            raise Unreachable(
                f"{request} was answered with something that is not JSON", hint="is this address a Roost API's?"
            ) from error


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
