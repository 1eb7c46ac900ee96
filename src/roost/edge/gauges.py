"""One reading of an Envoy's gauges: what every app has under way. Pure.

A cell is read once in a while (edge.py), and whoever wants to know looks at that reading: idleness, levelling and
autoscaling. Envoy looks through all it counts to answer, so a reading costs by awake apps; that there are only gauges
in it, and those that were used, makes it a good deal cheaper. Most say 0 and are passed over unread. Of an app with
one machine and no limits only the sums are asked for, since those are the machine's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from roost.edge.admission import WAITING
from roost.edge.port_config import PREFIX as PORT_PREFIX
from roost.edge.port_config import app_of_port
from roost.edge.snapshot import APP_PREFIX, app_of

OF_APPS = (APP_PREFIX, PORT_PREFIX)  # how the names of the clusters begin that these gauges tell of
PATTERN = (
    r"^(cluster\.app/[^.]*\.(upstream_(rq|rq_pending|cx)_active|endpoint\..*\.(rq|cx)_active)"
    r"|cluster\.port/(tcp|sni|pg)/.*\.upstream_cx_active|cluster\.port/http/.*\.upstream_rq_(pending_)?active"
    r"|udp\.port/udp/.*\.downstream_sess_active|" + WAITING.replace(".", r"\.") + ")"
)
_UNDER_WAY = ("upstream_rq_active", "upstream_rq_pending_active")
_OF_CONNECTIONS = ("upstream_cx_active", "downstream_sess_active")


@dataclass(slots=True)
class Gauges:
    """What is not 0. An endpoint is "ADDRESS_PORT", with dots."""

    active: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # all that keeps an app awake
    requests: dict[str, int] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # for a connection, or below the limit
    requests_at: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    connections_at: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))


def parse_gauges(text: str) -> Gauges:
    """Read what Envoy's `/stats` says; lines that are something else are passed over."""
    found = Gauges()
    for name, value in _counted(text):
        if name.startswith(WAITING):
            _take_waiting(found, name.removeprefix(WAITING), value)
        elif name.startswith("cluster.app/"):
            _take_of_app(found, name.removeprefix("cluster.app/"), value)
        else:
            cluster, _, what = name.removeprefix("cluster.").removeprefix("udp.").rpartition(".")
            kinds = _UNDER_WAY if cluster.startswith("port/http/") else _OF_CONNECTIONS
            if what in kinds and (app := app_of_port(cluster)):
                found.active[app] += value
    return found


def _counted(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        if line.endswith(": 0"):
            continue
        name, _, value = line.rpartition(": ")
        if value.isdigit():
            yield name, int(value)


def _take_waiting(found: Gauges, cluster: str, value: int) -> None:
    if app := app_of(cluster):
        found.pending[app] += value
    if app := app or app_of_port(cluster):
        found.active[app] += value


def _take_of_app(found: Gauges, rest: str, value: int) -> None:
    app, _, what = rest.partition(".")
    if what == "upstream_rq_active":
        found.requests[app] = value
        found.active[app] += value
    elif what == "upstream_rq_pending_active":
        found.pending[app] += value
        found.active[app] += value
    elif what == "upstream_cx_active":
        found.connections[app] = value
    elif what.startswith("endpoint."):
        endpoint, _, kind = what.removeprefix("endpoint.").rpartition(".")
        (found.requests_at if kind == "rq_active" else found.connections_at)[app][endpoint] = value
