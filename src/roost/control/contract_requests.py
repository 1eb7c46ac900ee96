"""What the API may ask about the requests of apps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from roost.model.request import Request, RequestFilter
from roost.model.request_stats import Window


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """A request and its place in the app's log; reading on from `cursor` gives those after it."""

    request: Request
    cursor: int


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """An app's last minute, five minutes and hour. `dropped` counts requests of all apps that were not logged."""

    app: str
    windows: tuple[Window, ...]
    dropped: int
    left_out: tuple[str, ...] = ()  # machines that get no requests for a while, since they failed again and again


@dataclass(frozen=True, slots=True)
class EdgeCounts:
    """For scrapers: (app, answers by class of status, errors by class, last five minutes); errors for no app."""

    apps: Sequence[tuple[str, Mapping[str, int], Mapping[str, int], Window]]
    nobodys: Mapping[str, int]
    dropped: int


class Requests(Protocol):
    """Requests that the edge served or refused."""

    def follow(
        self, app: str, wanted: RequestFilter, *, after: int = -1, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[RequestEntry]:
        """Async generator, oldest first: the last `limit` that fit, or those after a cursor; then new ones."""

    def summary(self, app: str) -> RequestSummary:
        """Return counts and percentiles. Raises NotFound."""

    def counts(self) -> EdgeCounts:
        """Return what a scraper reads."""
