"""What Envoy does about the limits of an app's machines: which gets a request, how many at once, and who waits. Pure.

`hard_limit` bounds the connections to an app's machines together, each of which carries one request at a time; balanced
by least requests that is the limit per machine. What comes above it waits in Envoy, first come, first served, up to
`queue_length`; what comes above that is refused at once (`app_at_hard_limit`). Envoy's threads have connections of
their own, and each may make its first one whatever the limit, so that nobody waits for ever: the limit may be passed by
one connection per further thread. `soft_limit` makes Envoy look at more machines before it chooses the least loaded, so
that one above its limit gets a request only when the others are as busy; with `connections` each request has a
connection of its own, as the reference asks. An app that speaks HTTP/2 has no queue: what is above is refused.
"""

from __future__ import annotations

from typing import Any

from roost.edge.contract import Route

NO_LIMIT = 1_000_000  # circuit breakers can't be switched off, only set high
QUEUE_PER_SLOT = 2  # requests that wait for each one that may be under way
SHORTEST_QUEUE = 16
POOL_IDLE = 1.5  # seconds; below the keep-alive of common servers (gunicorn 2, Node 5): they must not close first
LIMITED_POOL_IDLE = 0.2  # seconds; an idle connection of one thread takes the place of another's
CHOICES = 5  # machines that are looked at, of those with a soft_limit
SKIPS = 200  # tries to find another machine than the one that did not answer: with CHOICES it is found seldom


def queue_length(route: Route) -> int:
    """Return how many requests of an app may wait for a machine."""
    return max(SHORTEST_QUEUE, QUEUE_PER_SLOT * route.hard_limit * len(route.endpoints))


def limit_cluster(cluster: Any, protocol: Any, route: Route) -> None:
    """Put an app's limits into its cluster, and into the options of its protocol."""
    limits = cluster.circuit_breakers.thresholds.add()
    most = route.hard_limit * len(route.endpoints) or NO_LIMIT
    queued = most < NO_LIMIT and not route.http.h2_backend  # of HTTP/2 a connection carries many: nobody waits
    limits.max_requests.value = NO_LIMIT if queued else most
    limits.max_connections.value = most if queued else NO_LIMIT
    limits.max_pending_requests.value = queue_length(route) if queued else NO_LIMIT
    limits.max_retries.value = 100
    idle = LIMITED_POOL_IDLE if queued else POOL_IDLE
    protocol.common_http_protocol_options.idle_timeout.FromMilliseconds(int(idle * 1000))
    if route.by_connection and (route.soft_limit or route.hard_limit) and not route.http.h2_backend:
        protocol.common_http_protocol_options.max_requests_per_connection.value = 1
    if route.soft_limit:
        cluster.least_request_lb_config.choice_count.value = CHOICES


def skip_seen(policy: Any, route: Route) -> None:
    """Let a try after a failed one find another machine, however many are looked at."""
    if route.soft_limit:
        policy.host_selection_retry_max_attempts = SKIPS
