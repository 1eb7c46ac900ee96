"""What of a request goes into the audit log: every call that may change something, by a token that was accepted.

State: none. The invariant: only names and ids from the path are kept, never a body, a query or a header. A call is
noted when its answer begins, so that who has the answer finds the line; a console when it opens.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.types import Scope

from roost.api.inside import SOURCE
from roost.control.contract import Principal
from roost.model.audit import Called

_LOOKS = ("GET", "HEAD", "OPTIONS")
SUBJECT = "audited"  # the key in a connection's state of what a handler made: kinds and names
_LONGEST = 200  # characters of a name from a path


def called(scope: Scope, route: str, status: int, request_id: str) -> Called | None:
    """Return what to note of a request; None for one that only looks, or that nobody known made."""
    state: dict[str, Any] = scope.get("state", {})
    principal: Principal | None = state.get("principal")
    method = str(scope.get("method", "WEBSOCKET"))
    if principal is None or method in _LOOKS:
        return None
    subject = {key: str(value)[:_LONGEST] for key, value in scope.get("path_params", {}).items()}
    subject |= state.get(SUBJECT, {})
    target = getattr(state.get("access"), "target", None)
    return Called(
        at=time.time(),
        who=principal.name,
        user=str(getattr(principal, "user", "")),
        token_id=principal.token_id,
        method=method,
        route=route,
        source=source_of(scope),
        status=status,
        request_id=request_id,
        subject=subject,
        org=getattr(target, "org", "") or subject.get("slug", ""),
    )


def source_of(scope: Scope) -> str:
    """Return where a connection comes from: an address, `machine ID` through a machine's own socket, or ""."""
    if machine := scope.get("state", {}).get(SOURCE):
        return f"machine {machine}"
    client = scope.get("client")
    return str(client[0]) if client else ""
