"""How many requests each app has under way, and when the latest came or ended. Pure bookkeeping.

The sources: Envoy's access log, which tells the start and the end of each request within some 50 ms;
the activator, for the requests that it splices; and now and then Envoy's gauges, which are exact at the
moment they are read. Invariant: an event may come twice or never, and the count is right again after
the next measurement: requests that Envoy has and no start was seen of (roostd was down) are counted as
`unseen`; starts whose end was lost are dropped when two measurements in a row lack them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from roost.edge.contract import Traffic

SETTLED = 1.0  # seconds after which a start that Envoy logged has surely reached us


@dataclass(slots=True)
class _Record:
    streams: dict[str, float] = field(default_factory=dict)  # stream id -> start, in order of arrival
    unseen: int = 0
    measured_at: float = 0.0
    surplus: int = 0  # starts too many at the latest measurement
    spliced: int = 0
    last: float = 0.0


class TrafficBook:
    """Counts by app. Times are Unix seconds of one host's clock, passed in."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def started(self, app: str, stream: str, at: float) -> None:
        """A request began at `at`, as Envoy logged it."""
        record = self._record(app, at)
        if stream in record.streams:
            return
        record.streams[stream] = at
        if at <= record.measured_at and record.unseen:
            record.unseen -= 1  # it was in the measurement, its start is only now told

    def ended(self, app: str, stream: str, began: float, at: float) -> None:
        """A request that began at `began` ended at `at`."""
        record = self._record(app, at)
        if record.streams.pop(stream, None) is None and began <= record.measured_at and record.unseen:
            record.unseen -= 1

    def splicing(self, app: str, change: int, at: float) -> None:
        """A request began (+1) or ended (-1) to go through the activator."""
        self._record(app, at).spliced += change

    def measured(self, gauges: Mapping[str, int], at: float) -> None:
        """Take Envoy's gauges of requests under way, read at `at`; an app that is missing has none."""
        for app in {*gauges, *(app for app, record in self._records.items() if record.streams or record.unseen)}:
            record = self._records.setdefault(app, _Record())
            active = gauges.get(app, 0)
            settled = sum(1 for start in record.streams.values() if start < at - SETTLED)
            surplus = max(0, settled - active)
            for stream in list(record.streams)[: min(surplus, record.surplus)]:
                del record.streams[stream]
            record.surplus = surplus
            record.unseen = max(0, active - len(record.streams))
            record.measured_at = at

    def reset(self) -> None:
        """Envoy is a new process: none of its requests exist any more."""
        for record in self._records.values():
            record.streams.clear()
            record.unseen = record.surplus = 0

    def traffic(self, app: str) -> Traffic:
        """Return an app's counts."""
        record = self._records.get(app)
        if record is None:
            return Traffic()
        return Traffic(len(record.streams) + record.unseen + record.spliced, record.last)

    def spliced(self, app: str) -> int:
        """Return how many of an app's requests go through the activator."""
        record = self._records.get(app)
        return record.spliced if record else 0

    def _record(self, app: str, at: float) -> _Record:
        record = self._records.setdefault(app, _Record())
        record.last = max(record.last, at)
        return record
