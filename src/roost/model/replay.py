"""Answers that are kept, so that a call which is sent again with its Idempotency-Key is not done again."""

from __future__ import annotations

from dataclasses import dataclass, field

REPLAY_LIFETIME = 86_400.0  # seconds
LARGEST_REPLAY = 256 * 2**10  # bytes: a larger answer is not kept


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer to give again. `request` is the digest of the body and query that it answers."""

    request: bytes
    status: int
    media_type: str
    body: bytes = field(repr=False)
    at: float
