"""What one app looks like in Envoy: a cluster with its endpoints, and a virtual host that leads there.

Pure. An app is two resources of its own, so a change of one app sends nothing of another:

- cluster `app/NAME` (CDS) with the endpoints inline;
- virtual host `edge/NAME` (VHDS), below the one route configuration `edge` (see listener.py).

A route's name in Envoy is `app/NAME` too: the access log carries it, and traffic is counted by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from roost.edge.bodies import bound_kept, may_be_silent
from roost.edge.bounds import MACHINE_BUFFER, SILENT
from roost.edge.challenges import PATH
from roost.edge.contract import Route
from roost.edge.http_options import apply_to_host, lead_to_door, speak
from roost.edge.limits import limit_app
from roost.edge.machine_limits import admit_to, counts_each_endpoint, limit_cluster
from roost.edge.protos import (
    Cluster,
    HeaderValueOption,
    HttpProtocolOptions,
    VirtualHost,
    any_of,
    json_format,
    resource,
)
from roost.edge.refused_first import MARK as FOUND
from roost.edge.refused_first import refuse_marked
from roost.edge.replies import MARK
from roost.edge.resilience import eject_outliers, repeat_safely, retry_unsent
from roost.edge.statics import static_routes
from roost.edge.steering_config import REPLAYABLE, lead_wishes, retry_policy, specifier
from roost.edge.wildcards import domains, keep_to_own
from roost.model.errors import BadInput

ROUTES_NAME = "edge"  # the one route configuration
APP_PREFIX = "app/"
ACTIVATOR = "activator"  # its cluster
FIRST_HOST = f"{ROUTES_NAME}/-"  # no app's name begins with a hyphen

CHALLENGE_IDLE = 300  # seconds of silence on a certificate authority's request
CONNECT_TIMEOUT = 5.0  # seconds until a machine that does not answer at all is given up


@dataclass(frozen=True, slots=True)
class Ports:
    """The edge's public ports. `https` is 0 where it speaks no TLS."""

    http: int
    https: int
    challenged: bool = False  # authorities check names of the cloud's domain on them, too


NO_TLS = Ports(80, 0)
NO_DOOR = Path("/nonexistent")


def cluster_name(app: str) -> str:
    """Return the name of an app's cluster, which is also its route's name in the access log."""
    return APP_PREFIX + app


def virtual_host_name(app: str) -> str:
    """Return the xDS name of an app's virtual host: Envoy wants the route configuration's name before it."""
    return f"{ROUTES_NAME}/{app}"


def first_virtual_host() -> Any:
    """Return a virtual host that no request matches.

    Envoy opens its port once it has got a virtual host; an answer without any does not count.
    """
    host = VirtualHost(name=FIRST_HOST, domains=["first.invalid"])
    entry = host.routes.add()
    entry.match.prefix = "/"
    entry.direct_response.status = 404
    return resource(host.name, host)


def app_of(name: str) -> str:
    """Return the app of a cluster's or route's name; "" if it isn't an app's."""
    return name.removeprefix(APP_PREFIX) if name.startswith(APP_PREFIX) else ""


def check_route(route: Route) -> None:
    """Raise BadInput for a route that Envoy would refuse: no host, no endpoint, a host that is no name."""
    if not route.hosts or not (route.endpoints or route.http.h2_backend):
        raise BadInput(f"the route of {route.app!r} needs a host and an endpoint")
    for host in route.hosts:
        name = host.removeprefix("*.") if host.count(".") > 1 else host  # no wildcard of a top-level name
        plain = name.replace("-", "").replace(".", "")
        if not (plain.isascii() and plain.isalnum() and host == host.lower() and len(host) <= 253):
            raise BadInput(f"{host[:80]!r} can't be a host name at the edge")
    for endpoint in route.endpoints:
        try:
            IPv4Address(endpoint.address)
        except ValueError:
            raise BadInput(f"{endpoint.address[:80]!r} is not an IPv4 address") from None
        if not 0 < endpoint.port < 65536:
            raise BadInput(f"{endpoint.port} is not a port")


def app_cluster(route: Route, door: Path = NO_DOOR, name: str = "") -> Any:
    """Return the cluster resource of an app: HTTP to its machines, least requests first.

    It is called `name`, if not after the app. Without machines it leads to the door where requests wait for them.
    """
    cluster = Cluster(name=name or cluster_name(route.app), type=Cluster.STATIC, lb_policy=Cluster.LEAST_REQUEST)
    cluster.connect_timeout.FromMilliseconds(int(CONNECT_TIMEOUT * 1000))
    cluster.per_connection_buffer_limit_bytes.value = MACHINE_BUFFER
    if counts_each_endpoint(route):
        cluster.track_cluster_stats.per_endpoint_stats = True
    cluster.load_assignment.cluster_name = cluster.name
    locality = cluster.load_assignment.endpoints.add()
    for endpoint in sorted(route.endpoints, key=lambda e: (e.address, e.port)):
        at = locality.lb_endpoints.add().endpoint.address.socket_address
        at.address, at.port_value = endpoint.address, endpoint.port
    eject_outliers(cluster, len(route.endpoints))
    if not route.endpoints:
        lead_to_door(cluster, door)
    protocol = HttpProtocolOptions()
    speak(protocol, route)
    limit_cluster(cluster, protocol, route)
    options = cluster.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
    options.CopyFrom(any_of(protocol))
    return resource(cluster.name, cluster)


def app_virtual_host(route: Route, ports: Ports = NO_TLS, remembered: Sequence[str] = (), *, taken: int = 0) -> Any:
    """Return the virtual host resource of an app; see `virtual_host`."""
    host = virtual_host(route, ports, remembered, taken=taken)
    return resource(host.name, host)


def virtual_host(
    route: Route,
    ports: Ports = NO_TLS,
    remembered: Sequence[str] = (),
    *,
    cluster: str = "",
    taken: int = 0,
) -> Any:
    """Return the virtual host resource of an app; requests below the paths `remembered` may be for others to answer.

    No limit on how long a response takes, since it may be a stream; `idle_timeout` bounds silence.
    Of the limit of its machines, `taken` are not its own. Tried again is what the app can't have acted on
    (resilience.py). Where the edge speaks TLS, `force_https` leads there. Paths of certificate authorities' challenges
    go by way of the activator, which answers those that it knows, where names are checked so: host names of the app's
    own, and the cloud's domain without a wildcard certificate.
    """
    host = VirtualHost(name=virtual_host_name(route.app), domains=domains(route))
    keep_to_own(host, route, lead_to_activator)
    if len(route.hosts) > 1 or ports.challenged:
        _lead_to_challenges(host.routes.add(), route)
    if route.force_https and ports.https:
        _lead_to_https(host.routes.add(), ports)
    host.routes.extend(static_routes(route.statics))
    plain = not host.routes  # then the commonest requests come first
    entry = host.routes.add(name=cluster_name(route.app))
    entry.match.prefix = "/"
    entry.request_body_buffer_limit.value = REPLAYABLE
    action = entry.route
    cluster = cluster or cluster_name(route.app)
    json_format.ParseDict(
        specifier(cluster, route.sessions, remembered),
        action.inline_cluster_specifier_plugin,
    )
    action.timeout.SetInParent()  # 0: none
    action.idle_timeout.FromMilliseconds(int((route.idle_timeout or SILENT) * 1000))
    retry = action.retry_policy
    retry_policy(retry)
    retry_unsent(retry)
    admit_to(entry, route, cluster, taken)
    repeat_safely(host)
    if route.http.h2_backend:
        may_be_silent(host)
    bound_kept(host.routes[-1])
    lead_wishes(host)
    refuse_marked(host, behind=1 if plain else 0)
    apply_to_host(host, route)
    limit_app(host, route.limits)
    return host


def _lead_to_https(entry: Any, ports: Ports) -> None:
    """Make a route that answers what came without TLS with 301 to the same place with it."""
    entry.match.prefix = "/"
    plain = entry.match.headers.add(name="x-forwarded-proto")  # set by Envoy itself, from the connection
    plain.string_match.exact = "http"
    entry.redirect.https_redirect = True
    if (ports.http, ports.https) != (80, 443):
        entry.redirect.port_redirect = ports.https


def lead_to_activator(entry: Any) -> None:
    """Make a route to the activator, which knows whose a name is, and wakes."""
    entry.name = ACTIVATOR
    entry.request_body_buffer_limit.value = REPLAYABLE
    json_format.ParseDict(specifier(ACTIVATOR), entry.route.inline_cluster_specifier_plugin)
    entry.route.timeout.SetInParent()
    entry.route.idle_timeout.FromSeconds(SILENT)
    retry_policy(entry.route.retry_policy)
    told = entry.request_headers_to_add.add(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    told.header.key, told.header.value = MARK, "1"
    bound_kept(entry)


def _lead_to_challenges(entry: Any, route: Route) -> None:
    """Make a route to the activator, which passes on to the app what is no challenge of ours."""
    entry.name = cluster_name(route.app)
    entry.match.prefix = PATH
    entry.route.cluster = ACTIVATOR
    entry.route.timeout.SetInParent()
    entry.route.idle_timeout.FromSeconds(CHALLENGE_IDLE)
    entry.request_headers_to_remove.extend((MARK, FOUND))
