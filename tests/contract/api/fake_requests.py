"""The fake of control's requests: three of them, one of which went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from roost.control.contract_requests import EdgeCounts, RequestEntry, RequestSummary
from roost.model.request import Request, RequestFilter
from roost.model.request_stats import StatsBook

NOW = 1_700_000_000.0


def request(number: int = 0, **more: Any) -> Request:
    told: dict[str, Any] = dict(
        at=NOW + number, id=f"id-{number}", method="GET", host="myapp.roost.test", path=f"/page/{number}", status=200,
        protocol="HTTP/1.1", client="192.0.2.7", machine="00000000000001", bytes_in=0, bytes_out=12, queue=0.1,
        wake=0.0, connect=0.2, app=10.0 + number, total=11.0 + number, tries=1, error="",
    )  # fmt: skip
    return Request(**{**told, **more})


MADE = (request(0), request(1), request(2, status=502, error="app_closed_connection", path="/broken"))


class Requests:
    def __init__(self, world: Any) -> None:
        self.world = world

    async def follow(
        self, app: str, wanted: RequestFilter, *, after: int = -1, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[RequestEntry]:
        self.world.asked.append(("requests", wanted, after, limit, follow))
        self.world.open_streams += 1
        try:
            for number, made in enumerate(MADE, 1):
                if number * 100 > after and wanted.fits(made):
                    yield RequestEntry(made, number * 100)
            if app == "breaks":
                raise RuntimeError("an internal detail that nobody may see")
            if follow:
                await asyncio.sleep(600)
        finally:
            self.world.open_streams -= 1

    def summary(self, app: str) -> RequestSummary:
        self.world.app(app)
        return RequestSummary(app, self._book().windows("myapp", NOW + 3), 4, ("d5683210f7c968",))

    def counts(self) -> EdgeCounts:
        stats = dict(self._book().all())["myapp"]
        window = stats.windows(NOW + 3)[1]
        return EdgeCounts([("myapp", stats.statuses, stats.errors, window)], {"no_such_app": 7}, 4)

    @staticmethod
    def _book() -> StatsBook:
        book = StatsBook()
        for made in MADE:
            book.add("myapp", made, NOW + 3)
        return book
