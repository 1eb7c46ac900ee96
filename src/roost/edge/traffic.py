"""How many requests each app has under way, and when the latest came or ended. Pure bookkeeping.

The sources: Envoy's gauges of requests under way, read on a period and exact at the moment they are read; the log,
which tells the end of each request; and the activator, for the requests that it splices. Invariant: an app that had a
request at the latest reading counts as having it until the next one, so what ended since counts a little too long, and
what began since is not seen before the next: whoever lets an app sleep asks Envoy first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roost.edge.contract import Traffic


@dataclass(slots=True)
class _Record:
    spliced: int = 0
    last: float = 0.0


class TrafficBook:
    """Counts by app. Times are Unix seconds of one host's clock, passed in."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._active: Mapping[str, int] = {}

    def ended(self, latest: Mapping[str, float]) -> None:
        """Requests have ended: of each app the latest at this time."""
        for app, at in latest.items():
            self._record(app, at)

    def splicing(self, app: str, change: int, at: float) -> None:
        """A request began (+1) or ended (-1) to go through the activator."""
        self._record(app, at).spliced += change

    def measured(self, gauges: Mapping[str, int], at: float) -> None:
        """Take Envoy's gauges of requests under way, read at `at`; an app that is missing has none."""
        self._active = gauges
        for app in gauges:
            self._record(app, at)

    def forget(self, app: str) -> None:
        """The app is no more: a later one of its name begins with nothing."""
        if not self.spliced(app):
            self._records.pop(app, None)

    def reset(self) -> None:
        """Envoy is a new process: none of its requests exist any more."""
        self._active = {}

    def traffic(self, app: str) -> Traffic:
        """Return an app's counts."""
        record = self._records.get(app)
        if record is None:
            return Traffic()
        return Traffic(self._active.get(app, 0) + record.spliced, record.last)

    def spliced(self, app: str) -> int:
        """Return how many of an app's requests go through the activator."""
        record = self._records.get(app)
        return record.spliced if record else 0

    def _record(self, app: str, at: float) -> _Record:
        record = self._records.setdefault(app, _Record())
        record.last = max(record.last, at)
        return record
