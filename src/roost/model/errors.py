"""Errors that a user may see. Each says what was tried, on what, why it failed and what to do next.

`status` is the HTTP status, `code` the machine-readable word in the API body's `status` field
(Fly Machines API: `unknown`, `name_taken`, `insufficient_capacity`, ...), `hint` the next step.
"""

from __future__ import annotations

import errno

FREE_SPACE = "free some: destroy apps and machines that are not needed, then roost image collect"


class RoostError(Exception):
    """Base of every error with a text meant for the user."""

    status = 500
    code = "unknown"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def to_json(self) -> dict[str, str]:
        """Return the API's error body."""
        return {"error": self.message, "status": self.code, "hint": self.hint}


class BadInput(RoostError):
    """The request is malformed: a wrong key, type or value."""

    status = 400
    code = "bad_input"


class Unauthorized(RoostError):
    """The token is missing, unknown, expired or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(RoostError):
    """The token is valid and does not allow this."""

    status = 403
    code = "forbidden"


class NotFound(RoostError):
    """The thing named does not exist."""

    status = 404
    code = "not_found"


class TimedOut(RoostError):
    """A wait reached its deadline."""

    status = 408
    code = "deadline_exceeded"


class Conflict(RoostError):
    """Something else holds or has changed the thing."""

    status = 409
    code = "conflict"


class FailedPrecondition(RoostError):
    """The thing is in a state that does not allow this."""

    status = 412
    code = "failed_precondition"


class NameTaken(RoostError):
    """The name is used by another thing of the same kind."""

    status = 422
    code = "name_taken"


class Unprocessable(RoostError):
    """The request is well formed and can't be carried out as asked (a build or a deploy failed)."""

    status = 422
    code = "unprocessable"


class RateLimited(RoostError):
    """Too many calls in a short time. `retry_after` is seconds until the next one may come."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, hint: str = "", retry_after: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class InsufficientCapacity(RoostError):
    """The host has no room: disk, memory, addresses or ports."""

    status = 503
    code = "insufficient_capacity"


class DatabaseFull(InsufficientCapacity):
    """Nothing can be written down: the file system with the cloud's database is full."""


class Unavailable(RoostError):
    """The cloud can't do this now, and has changed nothing."""

    status = 503
    code = "unavailable"


class HostFailure(RoostError):
    """A step on the host failed: a mount, a runtime or an engine. The cloud's fault, never the app's."""

    status = 500
    code = "host_failure"


def out_of_space(error: BaseException) -> InsufficientCapacity | None:
    """Return what to tell the user when `error` is an OSError that means a full file system, else None."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" for {error.filename}" if error.filename else ""
        return InsufficientCapacity(f"there is no space left{where}", hint=FREE_SPACE)
    return None
