"""When a key that signs identity tokens is made, signs, is published and goes (pure).

A new key is published a day before it signs, so that whoever keeps a copy of the published keys has it by
then; the one before stays published for a day after its last signature, longer than any token lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SIGNS_FOR = 90 * 86_400.0  # seconds that a key signs before the next one takes over
PUBLISHED_BEFORE = 86_400.0  # seconds between a key's making and its first signature
PUBLISHED_AFTER = 86_400.0  # seconds that a key is published after its last signature


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is so at one moment. The numbers are positions in the list of keys that was given."""

    signs: int | None  # None: there is no key yet
    published: tuple[int, ...]
    gone: tuple[int, ...]  # may be deleted
    due: bool  # another key should be made now


def schedule(made_at: Sequence[float], now: float) -> Schedule:
    """Decide from the times at which the keys were made, oldest first, in Unix seconds."""
    if not made_at:
        return Schedule(None, (), (), due=True)
    ready = [number for number, at in enumerate(made_at) if at + PUBLISHED_BEFORE <= now]
    signs = ready[-1] if ready else 0  # the very first key can't wait: there is no other
    over = made_at[signs] + PUBLISHED_BEFORE + PUBLISHED_AFTER <= now
    gone = tuple(range(signs)) if over else ()
    published = tuple(number for number in range(len(made_at)) if number not in gone)
    return Schedule(signs, published, gone, due=made_at[-1] + SIGNS_FOR <= now)
