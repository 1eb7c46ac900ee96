"""What an org has, with what was destroyed lately, in one order: by the last change, then by id. Owns no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Changed(Protocol):
    """A row of a listing."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def updated_at(self) -> float:
        """When it changed last, Unix time."""


Row = TypeVar("Row", bound=Changed)


def with_destroyed(
    found: Sequence[Row], destroyed: Callable[[], Sequence[Row]], *, wanted: bool, states: frozenset[str], limit: int
) -> Sequence[Row]:
    """Return the first `limit` of both, if those destroyed are wanted and among the `states` asked for (none: all)."""
    if not wanted or (states and "destroyed" not in states):
        return found
    return sorted([*found, *destroyed()], key=lambda row: (row.updated_at, row.id))[:limit]
