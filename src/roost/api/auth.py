"""Who is asking: the token check in front of every route but the public ones.

State: none; tokens live in control, which compares them in constant time. The invariant: a request
is matched to a route first (an unknown one is 404), then its token is checked, and only then is its
body read. A token never reaches a log or an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from roost.api import access, inside
from roost.api.auditing import SUBJECT
from roost.api.idempotency import Idempotency
from roost.api.limits import Limits, bounded, refuse_size
from roost.api.rates import Rates
from roost.control.contract import Control, Principal
from roost.model.errors import Forbidden, NotFound, RoostError, Unauthorized

SCHEMES = ("bearer", "flyv1")
MAX_TOKEN = 8192  # characters, of all tokens in a header
MAX_TOKENS = 16

# For the published OpenAPI only: the check itself is made in `GuardedRoute`, before the body is read.
documented = Security(HTTPBearer(auto_error=False, description="`Bearer TOKEN` or `FlyV1 TOKEN`"))


def tokens_of(authorization: str) -> list[str]:
    """Return the tokens of an Authorization header, one or a list with commas; raises Unauthorized for none."""
    scheme, _, text = authorization.strip().partition(" ")
    tokens = [token.strip() for token in text.split(",")] if len(text) <= MAX_TOKEN and text.isascii() else []
    tokens = [token for token in tokens if token]
    if scheme.lower() not in SCHEMES or not 1 <= len(tokens) <= MAX_TOKENS:
        raise Unauthorized(
            "Authenticate: token validation error",
            hint="send the header `Authorization: Bearer TOKEN`; `roost login URL` stores one",
        )
    return tokens


async def authenticate(connection: HTTPConnection) -> Principal:
    """Check the connection's token and that it may do this; remember it in `state` and return who it is.

    Of several tokens the first that may do it counts. Raises Unauthorized, Forbidden, and NotFound for what the
    path names.
    """
    control: Control = connection.app.state.control
    if (machine_id := inside.source_machine(connection)) and "authorization" not in connection.headers:
        principal = await inside.admit(connection, machine_id)
        found = access.Access(principal, "")
    else:
        tokens = tokens_of(connection.headers.get("authorization", ""))
        found = await anyio.to_thread.run_sync(_first_that_may, control, tokens, connection)
    connection.state.principal, connection.state.access = found.principal, found
    return found.principal


def _first_that_may(control: Control, tokens: list[str], connection: HTTPConnection) -> access.Access:
    source = connection.client.host if connection.client else ""
    template = str(getattr(connection.scope.get("route"), "path_format", ""))
    method = str(connection.scope.get("method", access.WEBSOCKET))
    refused: RoostError | None = None
    for token in tokens:
        try:
            others = [other for other in tokens if other is not token]
            principal = control.tokens.authenticate(token, others) if others else control.tokens.authenticate(token)
        except Unauthorized as error:
            refused = refused or error
            continue
        connection.state.principal = principal  # for the log, also when it may not
        try:
            return access.check(control, principal, source, method, template, connection.path_params)
        except (Forbidden, NotFound) as error:
            refused = error if refused is None or isinstance(refused, Unauthorized) else refused
    raise refused or Unauthorized("Authenticate: token validation error")


class GuardedRoute(APIRoute):
    """A route with a token, a bounded rate, a body of bounded size, and one effect per Idempotency-Key."""

    reads_body = True

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the token check and the bounded reading of the body before it."""
        answer: Callable[[Request], Awaitable[Response]] = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            safe = request.method in access.SAFE_METHODS
            principal = await authenticate(request)
            rates: Rates = request.app.state.rates
            rates.check(request)
            if safe or not self.reads_body:
                return await answer(request)
            limits: Limits = request.app.state.limits
            refuse_size(request, limits.json_body)
            request = Request(request.scope, bounded(request.receive, limits.json_body, limits.silence))
            body = await request.body()  # kept in the request, which the handler below reads it from
            idempotency: Idempotency = request.app.state.idempotency
            return await idempotency.once(request, principal, body, lambda: answer(request))

        return guarded


class GuardedStreamRoute(GuardedRoute):
    """A route that needs a token and reads its body by itself, piece by piece."""

    reads_body = False


def _control(connection: HTTPConnection) -> Control:
    control: Control = connection.app.state.control
    return control


def _limits(connection: HTTPConnection) -> Limits:
    limits: Limits = connection.app.state.limits
    return limits


def _principal(connection: HTTPConnection) -> Principal:
    principal: Principal = connection.state.principal
    return principal


def _access(connection: HTTPConnection) -> access.Access:
    found: access.Access = connection.state.access
    return found


TheControl = Annotated[Control, Depends(_control)]
TheLimits = Annotated[Limits, Depends(_limits)]
ThePrincipal = Annotated[Principal, Depends(_principal)]


def _subject(connection: HTTPConnection) -> dict[str, str]:
    """What a handler makes and the path does not name: it goes into the call's line in the audit log."""
    made: dict[str, str] = {}
    setattr(connection.state, SUBJECT, made)
    return made


TheAccess = Annotated[access.Access, Depends(_access)]
TheSubject = Annotated[dict[str, str], Depends(_subject)]
