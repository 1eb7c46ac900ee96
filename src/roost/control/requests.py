"""The requests of each app, as the edge saw them: their log on disk, and counts and percentiles in memory.

State owned: the counts, from the start of this roostd; the files are `RequestFiles`'. The edge's thread writes, API
threads read. A log that can't be written (the disk is full) loses requests, which are counted, and holds up nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from roost.control.contract_requests import EdgeCounts, RequestEntry, RequestSummary
from roost.control.core import Core, log
from roost.host.contract import LogLine
from roost.host.request_files import RequestFiles
from roost.model.request import Request, RequestFilter, request_of_line
from roost.model.request_stats import StatsBook

POLL = 0.3  # seconds between two looks for new requests
CHUNK = 500
LATE = 3600.0  # seconds after an app's end in which a line of its requests may still come
COMPLAIN = 60.0  # seconds between two complaints about a disk that takes nothing


class Requests:
    """Keeps, reads and counts."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._files = RequestFiles(core.cloud.logs / "requests")
        self._guard = threading.Lock()
        self._book = StatsBook()
        self._nobodys: Counter[str] = Counter()  # errors by class of requests that were for no app
        self._lost = 0
        self._complained_at = 0.0
        self._since: dict[str, float] = {}  # app -> when what was kept of one of its name went

    def record(self, lot: Sequence[tuple[str, Request]]) -> None:
        """Keep requests that ended; for the edge's thread."""
        now = self._core.now()
        lot = [(app, request) for app, request in lot if request.at >= self._since.get(app, 0.0)]
        by_app: dict[str, list[Request]] = defaultdict(list)
        with self._guard:
            for app, request in lot:
                if app:
                    self._book.add(app, request, now)
                elif request.error:
                    self._nobodys[request.error] += request.alike
        for app, request in lot:
            if app:
                by_app[app].append(request)
        for app, requests in by_app.items():
            written, why = 0, "the disk is full"
            try:
                written = self._files.append(app, [(request.at, request.to_line()) for request in requests])
            except OSError as error:
                why = error.strerror or why
            if lost := sum(request.alike for request in requests[written:]):
                self._lost += lost
                if now - self._complained_at > COMPLAIN:
                    self._complained_at = now
                    log.warning("requests are not logged", error=why, lost=self._lost)

    async def follow(
        self, app: str, wanted: RequestFilter, *, after: int = -1, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[RequestEntry]:
        """Yield requests, oldest first: the last `limit` that fit, or those after a cursor; then new ones.

        It ends with the app: a later one of its name may be another's.
        """
        followed = self._core.store.apps.get(app)
        if after < 0:
            found, cursor = await asyncio.to_thread(self._latest, app, wanted, limit)
        else:
            found, cursor = await asyncio.to_thread(self._next, app, wanted, after, limit)
        for entry in found:
            yield entry
        while follow:
            found, cursor = await asyncio.to_thread(self._next, app, wanted, cursor, CHUNK)
            if await asyncio.to_thread(self._core.is_gone, followed):
                return
            for entry in found:
                yield entry
            if not found:
                await asyncio.sleep(POLL)

    def summary(self, app: str) -> RequestSummary:
        """Return an app's counts and percentiles. Raises NotFound."""
        self._core.store.apps.get(app)
        left_out = tuple(self._core.on_loop(self._core.edge.ejected(app)))
        with self._guard:
            return RequestSummary(app, self._book.windows(app, self._core.now()), self.dropped, left_out)

    def counts(self) -> EdgeCounts:
        """Return what a scraper reads: of each app with traffic in the last hour, and of requests for no app."""
        now = self._core.now()
        with self._guard:
            apps = [(app, dict(s.statuses), dict(s.errors), s.windows(now)[1]) for app, s in self._book.all()]
            return EdgeCounts(apps, dict(self._nobodys), self.dropped)

    @property
    def dropped(self) -> int:
        """Requests that were served and not logged, since roostd's start."""
        return self._lost + self._core.edge.unlogged

    def forget(self, app: str) -> None:
        """Remove what is kept of an app that is gone; its last requests, whose lines are to come, aren't taken."""
        with self._guard:
            self._since[app] = self._core.now()
            self._book.forget(app)
        self._files.remove(app)

    def clean(self) -> None:
        """Remove logs of apps that are gone, and keep all together in bounds."""
        for app in self._files.apps():
            if self._core.store.apps.find(app) is None:
                self.forget(app)
        self._files.bound_all()
        with self._guard:
            old = self._core.now() - LATE
            self._since = {app: at for app, at in self._since.items() if at > old}

    def _latest(self, app: str, wanted: RequestFilter, limit: int) -> tuple[list[RequestEntry], int]:
        """Return the last requests that fit, and a cursor behind the newest there is; reads ever more of the log."""
        lines = max(1, limit)
        while True:
            tail = self._files.read(app, offset=-1, limit=lines)
            found = list(_fitting(tail, wanted))
            if len(found) >= limit or len(tail) < lines or (tail and tail[0].at < wanted.since):
                return (found[-limit:] if limit else []), tail[-1].offset if tail else 0
            lines *= 8

    def _next(self, app: str, wanted: RequestFilter, cursor: int, limit: int) -> tuple[list[RequestEntry], int]:
        found: list[RequestEntry] = []
        while len(found) < limit:
            lines = self._files.read(app, offset=cursor, limit=CHUNK)
            if not lines:
                break
            for line in lines:
                cursor = line.offset
                found += _fitting([line], wanted)
                if len(found) == limit:
                    break
        return found, cursor


def _fitting(lines: Iterable[LogLine], wanted: RequestFilter) -> Iterable[RequestEntry]:
    for line in lines:
        request = request_of_line(line.text)
        if request is not None and wanted.fits(request):
            yield RequestEntry(request, line.offset)
