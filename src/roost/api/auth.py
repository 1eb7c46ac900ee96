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

from roost.api import inside
from roost.api.idempotency import Idempotency
from roost.api.limits import Limits, bounded, refuse_size
from roost.api.rates import Rates
from roost.control.contract import ADMIN, READER, Control, Principal
from roost.model.errors import Forbidden, Unauthorized

SCHEMES = ("bearer", "flyv1")
MAX_TOKEN = 8192  # characters
_SAFE_METHODS = ("GET", "HEAD")

# For the published OpenAPI only: the check itself is made in `GuardedRoute`, before the body is read.
documented = Security(HTTPBearer(auto_error=False, description="`Bearer TOKEN` or `FlyV1 TOKEN`"))


def token_of(authorization: str) -> str:
    """Return the token of an Authorization header; raises Unauthorized when there is none that can be read."""
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in SCHEMES or not token or len(token) > MAX_TOKEN or not token.isascii():
        raise Unauthorized(
            "Authenticate: token validation error",
            hint="send the header `Authorization: Bearer TOKEN`; `roost auth login` stores one",
        )
    return token


def check_role(principal: Principal, *, changes: bool) -> None:
    """Raise Forbidden unless the principal may do this; `changes` is False for a call that only looks."""
    if principal.role == ADMIN or (principal.role == READER and not changes):
        return
    raise Forbidden(
        f"the token of {principal.name!r} may not do this: its role is {principal.role!r}",
        hint=f"use a token with the role {ADMIN!r}",
    )


async def authenticate(connection: HTTPConnection, *, changes: bool) -> Principal:
    """Check the connection's token and role, remember who it is in `state.principal` and return it."""
    control: Control = connection.app.state.control
    if (machine_id := inside.source_machine(connection)) and "authorization" not in connection.headers:
        principal = await inside.admit(connection, machine_id)
        connection.state.principal = principal
        return principal
    token = token_of(connection.headers.get("authorization", ""))
    principal = await anyio.to_thread.run_sync(control.tokens.authenticate, token)
    check_role(principal, changes=changes)
    connection.state.principal = principal
    return principal


class GuardedRoute(APIRoute):
    """A route with a token, a bounded rate, a body of bounded size, and one effect per Idempotency-Key."""

    reads_body = True

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the token check and the bounded reading of the body before it."""
        answer: Callable[[Request], Awaitable[Response]] = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            safe = request.method in _SAFE_METHODS
            principal = await authenticate(request, changes=not safe)
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


TheControl = Annotated[Control, Depends(_control)]
TheLimits = Annotated[Limits, Depends(_limits)]
ThePrincipal = Annotated[Principal, Depends(_principal)]
