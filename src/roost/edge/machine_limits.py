"""What Envoy does about the limits of an app's machines: which gets a request, how many at once, and who waits. Pure.

`hard_limit` bounds the requests to an app's machines together; balanced by least requests that is the limit of each.
What comes above it waits in Envoy, first come, first served: up to `queue_length`, and what comes above that is refused
at once (`app_at_hard_limit`); up to `QUEUE_WAIT`, then it is refused too (`app_queue_timeout`). A filter of
admission.py sees to that. `soft_limit` makes Envoy look at more machines before it chooses the least loaded, so
that one above its limit gets a request only when the others are as busy; with `connections` each request has a
connection of its own, as the reference asks.
"""

from __future__ import annotations

from typing import Any

from roost.edge import admission
from roost.edge.contract import Route
from roost.edge.port_door import MAX_WAITING

NO_LIMIT = 1_000_000  # circuit breakers can't be switched off, only set high
QUEUE_PER_SLOT = 2  # requests that wait for each one that may be under way
SHORTEST_QUEUE = 16
WAKE_TIMEOUT = 90.0  # seconds that a request may wait while its app wakes
POOL_IDLE = 1.5  # seconds; below the keep-alive of common servers (gunicorn 2, Node 5): they must not close first
CHOICES = 5  # machines that are looked at, of those with a limit


def queue_length(route: Route) -> int:
    """Return how many requests of an app may wait for a machine."""
    return max(SHORTEST_QUEUE, QUEUE_PER_SLOT * slots(route))


def slots(route: Route) -> int:
    """Return how many requests may be under way on all machines, 0: any number. One that is being woken counts."""
    return route.hard_limit * max(1, len(route.endpoints))


def counts_each_endpoint(route: Route) -> bool:
    """Say whether Envoy has to count for each machine of the app, or the sums tell it."""
    return len(route.endpoints) > 1 or bool(route.soft_limit or route.hard_limit)


def admit_to(entry: Any, route: Route, cluster: str, taken: int = 0) -> None:
    """Put an app's limit into a route to its machines, if it has one; `taken` come to the machines by another way."""
    if not route.hard_limit:
        return
    wait = admission.QUEUE_WAIT if route.endpoints else WAKE_TIMEOUT
    admission.admit(entry, cluster, limit=max(0, slots(route) - taken), queue=queue_length(route), wait=wait)


def limit_cluster(cluster: Any, protocol: Any, route: Route) -> None:
    """Let an app's cluster bound nothing by itself, and put the rest of its limits into it and its protocol.

    Only at a door it does: one that the door turned away would fail all that wait (port_config.py).
    """
    limits = cluster.circuit_breakers.thresholds.add()
    for limit in (limits.max_requests, limits.max_connections, limits.max_pending_requests):
        limit.value = NO_LIMIT
    limits.max_retries.value = 100
    if not route.endpoints:
        limits.max_connections.value = limits.max_pending_requests.value = MAX_WAITING
    protocol.common_http_protocol_options.idle_timeout.FromMilliseconds(int(POOL_IDLE * 1000))
    if route.by_connection and (route.soft_limit or route.hard_limit) and not route.http.h2_backend:
        protocol.common_http_protocol_options.max_requests_per_connection.value = 1
    if route.soft_limit or route.hard_limit:
        cluster.least_request_lb_config.choice_count.value = CHOICES
