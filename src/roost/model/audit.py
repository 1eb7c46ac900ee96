"""One line of the audit log. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that changed something, or tried to: who, what, when, from where, and the answer's status.

    `method` and `route` say what, `subject` on what (the path's parameters). It holds no body, no query, no secret.
    """

    id: str  # a ULID: entries sort by time
    at: float
    who: str  # the token's name
    user: str
    token_id: str
    method: str
    route: str
    subject: Mapping[str, str]
    org: str
    app: str
    source: str  # an address, or `machine ID` through a machine's own socket
    status: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Called:
    """What the API tells of a call; the log adds the id and what it can find out about the org."""

    at: float
    who: str
    user: str
    token_id: str
    method: str
    route: str
    source: str
    status: int
    request_id: str
    subject: Mapping[str, str] = field(default_factory=dict)
    org: str = ""
