"""Refuses requests for what is no host name, in Envoy. Pure.

Envoy takes several Host headers as one with commas between, cuts a port off at the first colon, and lets a wildcard
stand for anything. So `a.example, b.example` would be for the one to us and for the other to the app, and a name with
a user before it, a path behind it or a word for a port likewise. Here such a request ends, before anything looks at it.
"""

from __future__ import annotations

from typing import Any

DETAIL = "rbac_access_denied"  # in Envoy's words on an answer
_PORT = "(:[0-9]+)?"
_AUTHORITY = rf"([A-Za-z0-9_-]+\.?)+{_PORT}|\[[0-9A-Fa-f:.]+\]{_PORT}"  # Envoy bounds what a pattern may take


def named_plainly() -> dict[str, Any]:
    """Return the HTTP filter that lets only requests through whose authority is a name or an address."""
    plain = {"header": {"name": ":authority", "string_match": {"safe_regex": {"regex": _AUTHORITY}}}}
    policy = {"permissions": [{"not_rule": plain}], "principals": [{"any": True}]}
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "DENY", "policies": {"authority": policy}},
        },
    }
