"""The sink of Envoy's access log stream: starts and ends of requests go to the traffic book, ended ones to the feed.

It owns no state. A stream that breaks loses what Envoy had not sent; the book is put right by the
next measurement of Envoy's gauges.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from roost.edge.feed import RequestFeed
from roost.edge.protos import AccessLogServiceServicer, DownstreamEnd, DownstreamStart, StreamAccessLogsResponse
from roost.edge.snapshot import app_of
from roost.edge.traffic import TrafficBook


class AccessLogSink(AccessLogServiceServicer):  # type: ignore[misc]
    """Receives access log entries. `clock` gives Unix time."""

    def __init__(self, book: TrafficBook, clock: Callable[[], float], feed: RequestFeed) -> None:
        self._book = book
        self._feed = feed
        self._clock = clock

    async def StreamAccessLogs(self, messages: AsyncIterator[Any], _context: Any) -> Any:
        """Read one worker's stream until it ends (the name is the protocol's)."""
        async for message in messages:
            for entry in message.http_logs.log_entry:
                self.take(entry)
        return StreamAccessLogsResponse()

    def take(self, entry: Any) -> None:
        """Book one entry; requests that did not go to an app are not counted."""
        common = entry.common_properties
        if common.access_log_type == DownstreamEnd:
            self._feed.ended(entry)
        app = app_of(common.route_name)
        if not app:
            return
        began = common.start_time.seconds + common.start_time.nanos / 1e9
        if common.access_log_type == DownstreamStart:
            self._book.started(app, common.stream_id, began)
        elif common.access_log_type == DownstreamEnd:
            self._book.ended(app, common.stream_id, began, self._clock())
