"""The parts of Envoy's configuration that steer requests: replays and wishes go to the replay server. Pure.

How a replay works. An app's answer passes a hook on its way back (`hooks`, native/replay_hook.c). If it asks for a
replay, the hook keeps the order in the stream's filter state; the answer is then no answer but a reason to try again
(`retry_policy`), and the cluster is chosen anew for each try (`specifier`): with an order kept, it is the replay
server's. So Envoy sends what it has of the request's body, up to `REPLAYABLE` bytes, and the rest as it comes;
WebSockets work too, before they are accepted. An answer that asks for a replay and still gets past had too large a
request: `bodies.bound_kept` says so. For answers that ask for none, the hook is a look at their headers' names; it also
drops what an app may not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roost.edge.bodies import HOOK, patience
from roost.edge.bounds import MACHINE_BUFFER
from roost.edge.native_module import hook
from roost.edge.protos import CLUSTER, parse, resource
from roost.edge.refused_first import MARK
from roost.model.steering import SessionRule

REPLAY = "replay"  # the replay server's cluster
ORDER = "roost-order"  # request header to the replay server: what the app asked for, from the hook
ROUTE = "roost-route"  # request header to the replay server: the route's name
REPLAYABLE = 1 << 20  # bytes of a request's body that are kept until the app answers
MAX_REPLAYS_AT_ONCE = 8192
STEER = (
    "steer-"  # what a client asks for under `fly-` or `roost-` goes on under this prefix, which says nothing to apps
)
RETRIES = 5
# Response header from the hook, the reason to try again; goes no further. Envoy looks it up in no time, which holds for
# few names: for any other it makes an index of all headers first.
AGAIN = "x-envoy-ratelimited"
_RETRY_ON_AGAIN = "envoy-ratelimited"
ANSWERED = "roost-answered"  # request header to the replay server: the address that answered with the order
ID = "fly-request-id"  # response header with the edge's name for the request
_OWN = ("roost-error", "roost-fault", "fly-error")  # response headers that are the edge's own word
_WISH = "wish"  # value of MARK when the client named a machine or a region
ODD_STATUS = "roost_odd_status"  # Envoy's words on an answer that the hook refused, since its status is none
_STATE = "roost.replay"  # where the hook keeps an order
_FROM = "roost.answered"  # and the address from which it came
_EXT = "type.googleapis.com/envoy.extensions."
# RetryPolicy.refresh_cluster_on_retry (field 14, bool) is in Envoy 1.40 but not yet in xds-protos 1.85.
REFRESH_CLUSTER_ON_RETRY = b"\x70\x01"


def replay_cluster(socket: Path) -> Any:
    """Return the replay server's cluster. As with the activator, a connection carries one request."""
    told = {
        ORDER: f"%FILTER_STATE({_STATE}:PLAIN)%", ROUTE: "%ROUTE_NAME%", ANSWERED: f"%FILTER_STATE({_FROM}:PLAIN)%",
    }  # fmt: skip
    protocol = {
        "@type": f"{_EXT}upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": 1},
        "http_filters": [
            hook(HOOK, patience()),  # without names: the server's answers are as they should be
            _mutation({"request_mutations": [_set(key, value) for key, value in told.items()]}),
            codec(),
        ],
    }
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), MAX_REPLAYS_AT_ONCE)
    pipe = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    message = parse(
        CLUSTER,
        {
            "name": REPLAY,
            "type": "STATIC",
            "connect_timeout": "2s",
            "per_connection_buffer_limit_bytes": MACHINE_BUFFER,
            "load_assignment": {"cluster_name": REPLAY, "endpoints": [{"lb_endpoints": [pipe]}]},
            "circuit_breakers": {"thresholds": [limits]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        },
    )
    return resource(REPLAY, message)


def hooks() -> list[dict[str, Any]]:
    """Return the filters between Envoy and the activator; the last one is the first to see an answer."""
    return [_hook(AGAIN, ID), codec()]


def hooks_of_machines() -> list[dict[str, Any]]:
    """Return `hooks` for machines: the headers that are the edge's own word are dropped."""
    return [_hook(AGAIN, ID, *_OWN), codec()]


def _hook(*names: str) -> dict[str, Any]:
    """Return the hook, which drops the headers `names` from answers."""
    return hook(HOOK, " ".join((patience(), *names)))


def retry_policy(message: Any) -> None:
    """Fill in a RetryPolicy: an order to replay is tried again, on the cluster that `specifier` chooses then."""
    message.retry_on = _RETRY_ON_AGAIN
    message.num_retries.value = RETRIES
    message.retry_back_off.base_interval.FromMilliseconds(4)
    message.retry_back_off.max_interval.FromMilliseconds(250)
    message.MergeFromString(REFRESH_CLUSTER_ON_RETRY)


def specifier(cluster: str, sessions: Sequence[SessionRule] = (), remembered: Sequence[str] = ()) -> dict[str, Any]:
    """Return what chooses a request's cluster: the replay server's for orders, otherwise `cluster`.

    Also the replay server's are requests of `sessions`, and those whose path begins as one of `remembered` does.
    """
    kept = {
        "input": {
            "name": "order",
            "typed_config": {"@type": f"{_EXT}matching.common_inputs.network.v3.FilterStateInput", "key": _STATE},
        },
        "value_match": {"prefix": "s:"},
    }
    paths = [_request_header(":path", {"prefix": path}) for path in remembered]
    predicates = [{"single_predicate": found} for found in (kept, *paths)]
    predicates += [_of_session(rule) for rule in sessions]
    predicate = {"or_matcher": {"predicate": predicates}} if len(predicates) > 1 else predicates[0]
    return {
        "extension": {
            "name": "envoy.router.cluster_specifier_plugin.matcher",
            "typed_config": {
                "@type": f"{_EXT}router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier",
                "cluster_matcher": {
                    "matcher_list": {"matchers": [{"predicate": predicate, "on_match": _choose(REPLAY)}]},
                    "on_no_match": _choose(cluster),
                },
            },
        }
    }


def lead_wishes(host: Any) -> None:
    """Put a route to the replay server before the last one of a virtual host, for clients that name their machine."""
    last = host.routes.pop()
    wished = host.routes.add()
    wished.CopyFrom(last)
    wished.match.headers.add(name=MARK).string_match.exact = _WISH
    wished.route.cluster = REPLAY
    wished.request_headers_to_remove.append(MARK)
    host.routes.append(last)


_ANYTHING: dict[str, Any] = {"safe_regex": {"google_re2": {}, "regex": "(?s).*"}}


def _of_session(rule: SessionRule) -> dict[str, Any]:
    below = {"single_predicate": _request_header(":path", {"prefix": rule.path_prefix})}
    name, match = (rule.name, _ANYTHING) if rule.type == "header" else ("cookie", {"contains": f"{rule.name}="})
    return {"and_matcher": {"predicate": [below, {"single_predicate": _request_header(name, match)}]}}


def _request_header(name: str, match: dict[str, Any] | None = None) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return {
        "input": {"name": name, "typed_config": {"@type": kind, "header_name": name}},
        "value_match": match or _ANYTHING,
    }


def _choose(cluster: str) -> dict[str, Any]:
    kind = f"{_EXT}router.cluster_specifiers.matcher.v3.ClusterAction"
    return {"action": {"name": "cluster", "typed_config": {"@type": kind, "cluster": cluster}}}


def _mutation(mutations: dict[str, Any]) -> dict[str, Any]:
    kind = f"{_EXT}filters.http.header_mutation.v3.HeaderMutation"
    return {"name": "envoy.filters.http.header_mutation", "typed_config": {"@type": kind, "mutations": mutations}}


def codec() -> dict[str, Any]:
    """Return the filter that ends a list of those between Envoy and a cluster."""
    kind = f"{_EXT}filters.http.upstream_codec.v3.UpstreamCodec"
    return {"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": kind}}


def _set(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}
