"""Exit codes, and the errors that only a command line has. Pure; docs/cli.md lists the codes."""

from __future__ import annotations

from roost.model.errors import BadInput, Forbidden, NotFound, RoostError, TimedOut, Unauthorized

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
UNAUTHORIZED = 4
ROLLED_BACK = 5
TIMED_OUT = 124
INTERRUPTED = 130


class OperationFailed(RoostError):
    """An operation ended badly; nothing of it is left running."""

    code = "operation_failed"


class RolledBack(RoostError):
    """The new release did not become healthy; the one before serves again."""

    code = "rolled_back"


class Interrupted(RoostError):
    """The user pressed Ctrl-C, and what was under way was cancelled."""

    code = "interrupted"


class NotLoggedIn(Unauthorized):
    """No cloud is known, or its token can't be read."""

    code = "not_logged_in"


_CODES: tuple[tuple[type[RoostError], int], ...] = (
    (RolledBack, ROLLED_BACK),
    (Interrupted, INTERRUPTED),
    (BadInput, USAGE),
    (NotFound, NOT_FOUND),
    (Unauthorized, UNAUTHORIZED),
    (Forbidden, UNAUTHORIZED),
    (TimedOut, TIMED_OUT),
)


def exit_code(error: RoostError) -> int:
    """Return the exit code that stands for `error`."""
    return next((code for cls, code in _CODES if isinstance(error, cls)), FAILED)
