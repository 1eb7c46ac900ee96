"""What happens to every request before any route: its id, the Host check, the log line, the last catch.

State: counters in the metrics it is given. The invariant: every answer carries `fly-request-id`, and
no exception leaves the app. A request for a host name that is not ours is refused, so that a web page
whose name was re-bound to 127.0.0.1 can't talk to the API through a browser.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roost.api.auditing import called
from roost.api.errors import Json, error_response, traceback_text, unexpected
from roost.api.inside import SOURCE
from roost.api.metrics import ApiMetrics
from roost.model.audit import Called
from roost.model.errors import out_of_space
from roost.model.names import ulid

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_log = structlog.get_logger("roost.api")


def host_name(host_header: str) -> str:
    """Return the name in a Host header: lower case, without port and final dot; IPv6 keeps its brackets."""
    host = host_header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


class Front:
    """ASGI middleware around the whole API."""

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Iterable[str], metrics: ApiMetrics, note: Callable[[Called], None]
    ) -> None:
        self._app = app
        self._note = note
        self._hosts = LOOPBACK_NAMES | {host_name(host) for host in allowed_hosts}
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; lifespan events pass through."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = ulid(int(time.time() * 1000), os.urandom(10))
        exchange = _Exchange(send, request_id, lambda status: self._audit(scope, request_id, status))
        began = time.monotonic()
        try:
            own_socket = SOURCE in scope.get("state", {})  # no browser gets there
            if own_socket or host_name(Headers(scope=scope).get("host", "")) in self._hosts:
                await self._app(scope, receive, exchange.send)
            else:
                await self._refuse(scope, receive, exchange)
        except (ClientDisconnect, ConnectionError):
            exchange.status = exchange.status or 499  # the client went away first: nobody is left to answer
        except Exception as error:
            _log.error("request failed", request_id=request_id, traceback=traceback_text(error))
            if not exchange.status:
                full = out_of_space(error)
                answer = error_response(full) if full is not None else unexpected(request_id)
                await _answer(answer, scope, receive, exchange)
        finally:
            self._record(scope, exchange, time.monotonic() - began)

    async def _refuse(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        body = {
            "error": "this API does not answer under the host name of the request",
            "status": "misdirected_request",
            "hint": "use 127.0.0.1 or localhost, or add the name to the API's host names",
        }
        await _answer(Json(body, 421), scope, receive, exchange)

    def _audit(self, scope: Scope, request_id: str, status: int) -> None:
        call = called(scope, route_template(scope), status, request_id)
        if call is not None:
            self._note(call)

    def _record(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        if not exchange.answered:
            self._audit(scope, exchange.request_id, exchange.status)
        template = route_template(scope)
        method = scope.get("method", "WEBSOCKET")
        first = exchange.first_byte - exchange.began if exchange.first_byte else seconds
        self._metrics.observe(method, template, exchange.status, first)
        principal = scope.get("state", {}).get("principal")
        _log.info(
            "request",
            request_id=exchange.request_id,
            method=method,
            route=template,
            status=exchange.status,
            milliseconds=round(seconds * 1000, 1),
            token=getattr(principal, "name", ""),
        )


class _Exchange:
    """Watches one answer: its status, the time of its first byte; adds the request id to it, and tells its status."""

    def __init__(self, send: Send, request_id: str, answers: Callable[[int], None]) -> None:
        self._send = send
        self._answers = answers
        self.answered = False
        self.request_id = request_id
        self.status = 0
        self.began = time.monotonic()
        self.first_byte = 0.0

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            self.status = message.get("status", 101)
            self.first_byte = time.monotonic()
            if not self.answered:
                self.answered = True
                self._answers(self.status)
            MutableHeaders(scope=message).setdefault("fly-request-id", self.request_id)
        elif kind == "websocket.close" and not self.status:
            self.status = 403  # what a server answers to a handshake that was closed
        await self._send(message)


def route_template(scope: Scope) -> str:
    """Return the path with its parameters' names, so that there are few of them; "unknown" without a route."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else "unknown"


async def _answer(response: Response, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await exchange.send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    await response(scope, receive, exchange.send)
