"""Runs of scheduled machines: each time one does what it is for, or should have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RunState(StrEnum):
    """How a run is, or ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"  # its program ended with code 0
    FAILED = "failed"  # it could not be started, or ended otherwise and its restarts are spent
    SKIPPED = "skipped"  # the run before still went on when it was due
    INTERRUPTED = "interrupted"  # it was stopped, or the server went away under it


class Trigger(StrEnum):
    """Why it began."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"  # it was due earlier, when nobody was there to start it
    CREATE = "create"
    START = "start"  # somebody asked for it


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are Unix seconds, 0 where there is none."""

    id: str  # ULID
    machine_id: str
    app: str
    instance_id: str  # the machine's version that ran
    trigger: Trigger
    state: RunState
    scheduled_at: float = 0.0  # when it was due
    missed: int = 0  # how many more times before that were due since the last run, and had none of their own
    started_at: float = 0.0
    ended_at: float = 0.0
    exit_code: int | None = None
    signal: int = 0
    oom: bool = False
    reason: str = ""
