"""Counts what a cell answers, by app, while somebody wants to know: the roll-out of a configuration.

State: the counts since `begin`, none otherwise. The thread that reads the requests' log counts, the event loop reads.
"""

from __future__ import annotations

import threading

from roost.model.request import Request
from roost.plan.edge_rollout import Answers


class Tally:
    """Counts requests that began after `begin`."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._counts: dict[str, Answers] = {}
        self._lock = threading.Lock()

    def begin(self, now: float) -> dict[str, Answers]:
        """Count anew from `now`, Unix time; returns what was counted."""
        with self._lock:
            found, self._counts, self._since = self._counts, {}, now
        return found

    def end(self) -> None:
        """Count no more."""
        with self._lock:
            self._counts, self._since = {}, None

    def counts(self) -> dict[str, Answers]:
        """Return what was counted so far, by app; "" has what was for none."""
        with self._lock:
            return dict(self._counts)

    def note(self, app: str, request: Request) -> None:
        """Count a request that has ended, with those that it stands for."""
        if self._since is None:
            return
        with self._lock:
            if self._since is not None and request.at >= self._since:
                self._counts[app] = self._counts.get(app, Answers()).plus(request.error, request.alike)
