"""A page of what an org has in all its apps, as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrgListing:
    """The order is by the time of the last change, and by id where that is the same."""

    org: str
    after: tuple[float, str] = (0.0, "")  # time and id of what came before
    states: frozenset[str] = frozenset()  # in any of them; none: in whatever state
    region: str = ""  # "": in all
    limit: int = 1000
    destroyed: bool = False  # also what was destroyed lately
