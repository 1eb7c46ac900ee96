"""What Envoy does about machines of an app that fail while others are fine: other tries, and time-outs for bad ones.

Pure. Two rules. A request is tried again only where the app can't have acted on it: when no connection came about, or
it ended before the request was sent, and always with another machine first; a request that was sent and got no answer
only if it is GET, HEAD or OPTIONS, which ask for nothing to be done. And a machine that answers with 5xx or breaks
connections several times in a row gets no requests for some seconds, longer each time, as long as at least half of
the app's machines stay: never the only one, never the last one.
"""

from __future__ import annotations

from typing import Any

from roost.edge.bounds import MACHINE_BUFFER
from roost.edge.protos import PreviousHostsPredicate, Route, any_of
from roost.edge.refused_first import unmarked

NEVER_SENT = "connect-failure,refused-stream,reset-before-request"  # may be tried again, whatever it asks for
SAFE_METHODS = "GET|HEAD|OPTIONS"
SKIPS = 200  # choices of a machine that may meet one that was tried: a busy app's idle ones are chosen rarely
SAFE_RETRIES = 2  # a request that kills whoever gets it meets three machines at most
FAILURES = 5  # in a row
LOOK = 1.0  # seconds between two looks at who may come back
FIRST_EJECTION = 5.0  # seconds; as much longer as it was ejected before
LONGEST_EJECTION = 60.0
MOST_EJECTED = 50  # percent of the machines


def retry_unsent(policy: Any) -> None:
    """Add to a route's retry policy what holds for all requests."""
    policy.retry_on = ",".join(word for word in (policy.retry_on, NEVER_SENT) if word)
    policy.host_selection_retry_max_attempts = SKIPS
    predicate = policy.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts")
    predicate.typed_config.CopyFrom(any_of(PreviousHostsPredicate()))


def repeat_safely(host: Any) -> None:
    """Put before a virtual host's last route the same one for methods that are safe to repeat; for nothing marked."""
    safe = Route()
    safe.CopyFrom(host.routes[-1])
    unmarked(safe)
    method = safe.match.headers.add(name=":method")
    method.string_match.safe_regex.regex = SAFE_METHODS
    for name in ("content-length", "transfer-encoding"):  # with a body it is not of this kind
        safe.match.headers.add(name=name, present_match=True, invert_match=True)
    safe.request_body_buffer_limit.value = MACHINE_BUFFER  # where HTTP/2 has one without a length: nothing counts it
    policy = safe.route.retry_policy
    policy.retry_on += ",reset"
    policy.num_retries.value = SAFE_RETRIES
    last = host.routes.pop()
    host.routes.extend((safe, last))


def eject_outliers(cluster: Any, machines: int) -> None:
    """Have Envoy take out machines of a cluster that fail again and again; one that is alone is left in."""
    if machines < 2:
        return
    outlier = cluster.outlier_detection
    outlier.consecutive_5xx.value = FAILURES
    outlier.enforcing_consecutive_5xx.value = 100
    outlier.enforcing_consecutive_gateway_failure.value = 0
    outlier.enforcing_success_rate.value = 0
    outlier.enforcing_failure_percentage.value = 0
    outlier.max_ejection_percent.value = MOST_EJECTED
    outlier.interval.FromMilliseconds(int(LOOK * 1000))
    outlier.base_ejection_time.FromMilliseconds(int(FIRST_EJECTION * 1000))
    outlier.max_ejection_time.FromMilliseconds(int(LONGEST_EJECTION * 1000))
