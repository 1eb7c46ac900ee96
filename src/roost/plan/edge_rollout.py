"""Whether a cell of the edge serves worse since its configuration changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 20  # answers that a verdict needs
JUMP = 0.2  # of all answers, by which errors may not grow


@dataclass(frozen=True, slots=True)
class Answers:
    """What a cell has answered since it started."""

    total: int
    errors: int  # 5xx


def is_worse(before: Answers, after: Answers) -> bool:
    """Say whether the part of errors among the answers between two readings is far above what it was before."""
    answered, failed = after.total - before.total, after.errors - before.errors
    if answered < ENOUGH:
        return False
    usual = before.errors / before.total if before.total else 0.0
    return failed / answered > usual + JUMP
