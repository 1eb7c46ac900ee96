"""One request that the edge served or refused, as its app's developer may see it. Pure.

What is never in it: cookies, authorization, bodies, any header but Host, and the values of the query string, which
often hold tokens and addresses. The names of the query's parameters stay: `/find?q=*&page=*`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import orjson

from roost.model.edge_errors import EDGE_ERRORS

PARTS = ("queue", "wake", "connect", "app", "total")
MAX_PATH = 1024  # characters that are kept
MAX_NAMES = 16  # parameters of a query whose names are kept
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-\[\]]{0,31}=")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has ended. The five durations are milliseconds; what is missing in `total` is transfer."""

    at: float  # Unix time of its first byte
    id: str
    method: str
    host: str
    path: str  # with the query redacted
    status: int  # 0: the client went away before an answer
    protocol: str
    client: str  # address
    machine: str  # "" when it reached none
    bytes_in: int  # of the request's body
    bytes_out: int  # of the answer's body
    queue: float  # waiting at the edge: for the activator, or a free connection
    wake: float  # until the app's machine was up and listened
    connect: float  # until the app accepted the connection
    app: float  # from the last byte sent to the app until its answer's first
    total: float
    tries: int  # connections tried
    error: str  # class by model.edge_errors; "" when it went well
    alike: int = 1  # requests that it stands for: itself, and those that went the same way just before
    detail: str = ""  # what more is known of the error, in words

    @property
    def fault(self) -> str:
        """Whose fault the error is, "" without one."""
        found = EDGE_ERRORS.get(self.error)
        return found.fault if found else ""

    def to_line(self) -> str:
        """Return it as one line of JSON, as it is stored."""
        return orjson.dumps(self).decode()


_FIELDS = {field.name: {"float": float, "int": int}.get(str(field.type), str) for field in fields(Request)}


def request_of_line(line: str) -> Request | None:
    """Read what `to_line` wrote; None for anything else."""
    try:
        told = {"alike": 1, "detail": "", **orjson.loads(line)}
        return Request(**{name: kind(told[name]) for name, kind in _FIELDS.items()})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def redacted(path: str) -> str:
    """Return a request's target without the values of its query, cut to a bound."""
    bare, mark, query = path.partition("?")
    bare = bare if len(bare) <= MAX_PATH else bare[:MAX_PATH] + "…"
    if not mark:
        return bare
    words = query.split("&", MAX_NAMES)
    names = [found[0] + "*" if (found := _NAME.match(word)) else "*" for word in words[:MAX_NAMES]]
    return f"{bare}?{'&'.join(names)}" + ("&…" if len(words) > MAX_NAMES else "")


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are asked for; what is not set excludes none. All that is set must fit."""

    status: str = ""  # "5xx", or a number
    path: str = ""  # prefix
    slow: float = 0.0  # milliseconds of `total` at least
    since: float = 0.0  # Unix time
    machine: str = ""
    errors: bool = False  # only those with an error class

    def fits(self, request: Request) -> bool:
        """Tell whether a request is asked for."""
        if request.at < self.since or request.total < self.slow or not request.path.startswith(self.path):
            return False
        if self.machine and request.machine != self.machine:
            return False
        if self.errors and not request.error:
            return False
        status = str(request.status)
        return not self.status or (status[0] == self.status[0] and self.status[1:] in ("xx", status[1:]))
