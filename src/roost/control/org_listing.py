"""What an org has, with what was destroyed lately, in one order: by the last change, then by id. Owns no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from roost.model.listing import OrgListing


class Changed(Protocol):
    """A row of a listing."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def updated_at(self) -> float:
        """When it changed last, Unix time."""


Row = TypeVar("Row", bound=Changed)


def with_destroyed(found: Sequence[Row], destroyed: Callable[[], Sequence[Row]], asked: OrgListing) -> Sequence[Row]:
    """Return the first of both, as many as fit, if those destroyed are asked for and no other states are."""
    if not asked.destroyed or (asked.states and "destroyed" not in asked.states):
        return found
    return sorted([*found, *destroyed()], key=lambda row: (row.updated_at, row.id))[: asked.limit]
