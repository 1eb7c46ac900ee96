"""From the API's error answers back to the classes of `roost.model.errors`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from roost.model.errors import (
    BadInput,
    Conflict,
    FailedPrecondition,
    Forbidden,
    HostFailure,
    InsufficientCapacity,
    NameTaken,
    NotFound,
    RateLimited,
    RoostError,
    TimedOut,
    Unauthorized,
    Unprocessable,
)

_BY_CODE: dict[str, type[RoostError]] = {
    cls.code: cls
    for cls in (
        BadInput,
        Conflict,
        FailedPrecondition,
        Forbidden,
        HostFailure,
        InsufficientCapacity,
        NameTaken,
        NotFound,
        RateLimited,
        TimedOut,
        Unauthorized,
        Unprocessable,
    )
}
_BY_STATUS: dict[int, type[RoostError]] = {
    400: BadInput,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    408: TimedOut,
    409: Conflict,
    412: FailedPrecondition,
    413: BadInput,
    422: Unprocessable,
    429: RateLimited,
    503: InsufficientCapacity,
    504: TimedOut,
}
_SHOWN = 500  # characters of an answer that isn't the API's own


class Unreachable(RoostError):
    """Nothing answers at the API's address, or what answers is not a Roost API."""

    status = 503
    code = "unreachable"


def error_from_answer(status: int, body: bytes, headers: Mapping[str, str], *, request: str) -> RoostError:
    """Return the error that an answer with a status of 400 or more stands for.

    `request` says what was asked (`GET /v1/apps`), for answers that carry no text of their own.
    The word in the body's `status` decides the class, else the HTTP status does.
    """
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        data = {}
    if (stranger := _stranger(headers)) is not None:
        return stranger
    code = data.get("status")
    code = code if isinstance(code, str) and code else None
    cls = _BY_CODE.get(code or "") or _BY_STATUS.get(status, RoostError)
    text = data.get("error") or data.get("message")
    if not isinstance(text, str) or not text:
        plain = body.decode("utf-8", "replace").strip()[:_SHOWN]
        text = f"{request} was answered with {status}" + (f": {plain}" if plain and not data else "")
    hint = data.get("hint")
    if not (isinstance(hint, str) and hint):
        hint = _hint(status, headers) or ("" if data else "is this address a Roost API's?")
    error = cls(text, hint=hint)
    error.code = code or error.code
    error.status = status
    return error


def _stranger(headers: Mapping[str, str]) -> Unreachable | None:
    """Return the error for an answer that is no API's: of the cloud's edge, where apps are."""
    if headers.get("roost-error", "") in ("no_such_app", "control_plane_restarting"):
        return Unreachable(
            "this is the address of the cloud's apps, and not of its API",
            hint="the API's is what `roost status` shows on the server (port 4280 by default)",
        )
    return None


def _hint(status: int, headers: Mapping[str, str]) -> str:
    if status == 401:
        return "log in again: roost login URL"
    after = headers.get("retry-after", "")
    if after.isdigit():
        return f"try again in {after} s"
    return ""
