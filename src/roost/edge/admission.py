"""Admission to an app: its `hard_limit`, for all of Envoy's threads together, and the line of those that wait. Pure.

Envoy's own means (circuit breakers) count connections per thread and let requests wait without a deadline, so filters
of our own do it (native/admission.c). A filter is switched on by an app's route, so that an app without a limit pays
nothing. So many requests pass at once as all machines of the app may have; each then goes to the machine with the
fewest. What comes above that waits, first come first served, in any order of machines: `queue_length` at most,
`QUEUE_WAIT` at most.
"""

from __future__ import annotations

from typing import Any

from roost.edge.native_module import http_filter, switch_on

LATE = "roost_line_timeout"  # Envoy's words on a request that waited too long
FULL = "roost_line_full"
QUEUE_WAIT = 30.0  # seconds
WAITING = "dynamicmodulescustom.waiting.of."  # a gauge for each name that has had to wait: how many do
_ADMISSION = "admission"


def filters() -> list[dict[str, Any]]:
    """Return the HTTP filters, switched off, that a connection manager ends with before the router."""
    return [http_filter(_ADMISSION)]


def admit(entry: Any, name: str, *, limit: int, queue: int, wait: float) -> None:
    """Let `limit` requests of a route pass at once, and `queue` wait for `wait` seconds. `name` is whose they are."""
    switch_on(entry, _ADMISSION, f"{name} {limit} {queue} {round(wait * 1000)}")
