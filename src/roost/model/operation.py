"""Operations: durable, resumable long-running jobs, and what they report while they run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import Conflict


class OperationState(StrEnum):
    """Where an operation is in its life."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Operation:
    """A job such as `deploy` or `image.pull`. `step` names the step under way, `result` what it made."""

    id: str  # ULID
    kind: str
    app: str  # "" when it belongs to no app
    state: OperationState
    step: str
    steps: tuple[str, ...]  # all the steps, in order, for a progress bar
    arguments: dict[str, object]
    result: dict[str, object]
    error: str
    hint: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of an operation's story. `kind` is `step`, `log` or `done`."""

    number: int  # counts from 1 within the operation; a reader continues after the last it saw
    kind: str
    step: str
    text: str
    at: float


def one_at_a_time(kind: str, app: str, operation_id: str) -> Conflict:
    """Return the error for an app's operation that has to wait for another one."""
    return Conflict(
        f"a {kind} of {app} is already under way ({operation_id})",
        hint=f"roost operations show {operation_id} --follow, or end it: roost operations cancel {operation_id}",
    )
