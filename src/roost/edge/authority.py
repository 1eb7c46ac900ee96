"""Refuses requests for what is no host name, in Envoy. Pure.

Envoy takes several Host headers as one with commas between, cuts a port off at the first colon, and lets a wildcard
stand for anything. So `a.example, b.example` would be for the one to us and for the other to the app, and a name with
a user before it, a path behind it or a word for a port likewise. Here such a request ends, before anything looks at it:
each virtual host's first route is for such names, and the filter that refuses is switched on for it alone, since a
filter costs every request more than a route does. What clients say of other names in headers of proxies is dropped
before that (native/headers.c).
"""

from __future__ import annotations

from typing import Any

from roost.edge.protos import FilterConfig, any_of, any_pb2

DETAIL = "rbac_access_denied"  # in Envoy's words on an answer
_FILTER = "envoy.filters.http.rbac"
_PORT = "(:[0-9]+)?"
_AUTHORITY = rf"([A-Za-z0-9_-]+\.?)+{_PORT}|\[[0-9A-Fa-f:.]+\]{_PORT}"  # Envoy bounds what a pattern may take


def named_plainly() -> dict[str, Any]:
    """Return the HTTP filter that refuses requests whose authority is no name or address; see `refuse_odd_names`."""
    plain = {"header": {"name": ":authority", "string_match": {"safe_regex": {"regex": _AUTHORITY}}}}
    policy = {"permissions": [{"not_rule": plain}], "principals": [{"any": True}]}
    return {
        "name": _FILTER,
        "disabled": True,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "DENY", "policies": {"authority": policy}},
        },
    }


def refuse_odd_names(host: Any) -> None:
    """Put a route before all others of a virtual host for which the filter is on; what it let past gets 400."""
    others = list(host.routes)
    del host.routes[:]
    odd = host.routes.add(name=others[-1].name)  # in the log it is the app's request
    odd.match.prefix = "/"
    odd.match.headers.add(name=":authority", invert_match=True).string_match.safe_regex.regex = _AUTHORITY
    odd.direct_response.status = 400
    odd.typed_per_filter_config[_FILTER].CopyFrom(any_of(FilterConfig(config=any_pb2.Any())))
    host.routes.extend(others)
