"""What goes wrong, as an answer: `{"error", "status", "hint"}`, or the plain text of an unknown path.

Nothing internal is told: an unexpected exception is logged with the request's id, and the client gets
the id only.
"""

from __future__ import annotations

import traceback
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from roost.api.json_text import to_bytes
from roost.model.errors import BadInput, RateLimited, RoostError

NOT_FOUND_TEXT = "404 page not found"
_CODES = {400: "bad_input", 401: "unauthorized", 403: "forbidden", 408: "deadline_exceeded", 413: "too_large"}


class Json(JSONResponse):
    """JSON: whatever text a value holds, lone surrogates included, it can be sent."""

    def render(self, content: Any) -> bytes:
        """Return `content` as bytes."""
        return to_bytes(content)


def error_response(error: RoostError) -> Response:
    """Return the answer to a request that failed in a way the user can read about."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    if isinstance(error, RateLimited):
        headers = {"Retry-After": str(error.retry_after)}
    return Json(error.to_json(), error.status, headers)


def not_found() -> Response:
    """Return the answer to an unknown path or method."""
    return PlainTextResponse(NOT_FOUND_TEXT, 404)


def unexpected(request_id: str) -> Response:
    """Return the answer when Roost itself is at fault."""
    return Json(
        {
            "error": f"something went wrong inside Roost; it is logged under request id {request_id}",
            "status": "unknown",
            "hint": "look for the request id in roostd's log",
            "request_id": request_id,
        },
        500,
    )


def describe_validation(error: RequestValidationError) -> BadInput:
    """Return the first thing wrong with a request, with the field it is in. Never repeats a value."""
    first = next(iter(error.errors()), None)
    if first is None:
        return BadInput("the request can't be read")
    kind, where = str(first["type"]), [str(part) for part in first["loc"]]
    field = ".".join(where[1:]) or "the body"
    if kind == "json_invalid":
        return BadInput(f"the body is not JSON: {first.get('ctx', {}).get('error', 'it can not be parsed')}")
    if kind == "extra_forbidden":
        return BadInput(f"{field} is not supported", hint="remove the key; docs/api.md lists the keys that work")
    if kind == "missing":
        return BadInput(f"{field} is missing")
    if kind == "value_error":  # raised by a check of ours: its text says it all
        return BadInput(str(first["msg"]).removeprefix("Value error, "))
    hint = "send JSON, with the header Content-Type: application/json" if field == "the body" else ""
    return BadInput(f"{field}: {first['msg']}", hint=hint)


def traceback_text(error: BaseException) -> str:
    """Return a traceback for the log, as text and without local variables: those may hold tokens and secrets."""
    return "".join(traceback.format_exception(error))


async def on_roost_error(_request: Request, error: Exception) -> Response:
    """Answer a RoostError."""
    if not isinstance(error, RoostError):
        raise error
    return error_response(error)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer the framework's own refusals: no such route, no such method, a body it can't parse."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code in (404, 405):
        return not_found()
    code = _CODES.get(error.status_code, "unknown")
    return Json({"error": str(error.detail), "status": code, "hint": ""}, error.status_code)


async def on_validation_error(_request: Request, error: Exception) -> Response:
    """Answer a request whose body or query has the wrong form."""
    if not isinstance(error, RequestValidationError):
        raise error
    return error_response(describe_validation(error))
