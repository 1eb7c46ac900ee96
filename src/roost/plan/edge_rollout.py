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


def is_worse(before: Answers, after: Answers, earlier: Answers | None = None) -> bool:
    """Say whether the part of errors among the answers between two readings is far above what is usual.

    Usual is what it was from `earlier` to `before`, or ever since the cell's start where that was too few answers: what
    went wrong while roostd was away says nothing of a configuration.
    """
    answered, failed = after.total - before.total, after.errors - before.errors
    if answered < ENOUGH:
        return False
    begin = earlier if earlier is not None and before.total - earlier.total >= ENOUGH else Answers(0, 0)
    seen = before.total - begin.total
    usual = (before.errors - begin.errors) / seen if seen else 0.0
    return failed / answered > usual + JUMP
