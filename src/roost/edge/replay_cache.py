"""Replays that are remembered: by path, as an app asked with its answer, and by session, as its configuration says.

State: in memory only, by app; losing it costs a question to the app. Invariants: an app's entries are found by requests
to that app only; there are at most `MAX_PATHS` and `MAX_SESSIONS` entries of an app and `MAX_ENTRIES` in all, and the
longest unused go first. What is remembered is an order as the app gave it: where it leads is decided, and whether it
may, for each request anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from roost.edge.http_head import Fields, request_line
from roost.model.replay_order import CacheOrder, ReplayOrder
from roost.model.steering import SessionRule

MAX_PATHS = 100
MAX_SESSIONS = 10_000
MAX_ENTRIES = 100_000
MAX_VALUE = 512  # characters of a cookie or header that can stand for a session

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """An order that is remembered until `until`; `source` is the machine that gave it."""

    key: Key
    order: ReplayOrder
    source: str
    until: float
    allow_bypass: bool


class ReplayCache:
    """The entries of all apps. Times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._apps: dict[str, OrderedDict[Key, Entry]] = {}
        self._size = 0

    def find(self, app: str, host: str, request: Fields, rules: Sequence[SessionRule], now: float) -> Entry | None:
        """Return the entry that a request to `app` finds: the longest path first, then sessions."""
        known = self._apps.get(app)
        if not known:
            return None
        path = path_of(request)
        fits = [key for key in known if key[0] == "path" and key[1] == host and _below(path, key[2])]
        keys = sorted(fits, key=lambda key: len(key[2]), reverse=True)
        keys += [key for rule in rules if (key := session_key(rule, request))]
        for key in keys:
            entry = known.get(key)
            if entry is not None and entry.until <= now:
                self._drop(app, key)
            elif entry is not None:
                known.move_to_end(key)
                return entry
        return None

    def remember(self, app: str, entry: Entry) -> None:
        """Remember an entry, in place of one with the same key and, if there are too many, of the longest unused."""
        known = self._apps.setdefault(app, OrderedDict())
        self._drop(app, entry.key)
        limit = MAX_PATHS if entry.key[0] == "path" else MAX_SESSIONS
        kin = [key for key in known if key[0] == entry.key[0]] if len(known) >= limit else []
        for key in kin[: max(0, len(kin) - limit + 1)]:
            self._drop(app, key)
        while self._size >= MAX_ENTRIES:
            largest = max(self._apps, key=lambda name: len(self._apps[name]))
            self._drop(largest, next(iter(self._apps[largest])))
        self._apps.setdefault(app, known)[entry.key] = entry
        self._size += 1

    def forget(self, app: str, order: CacheOrder) -> None:
        """Forget what is remembered at and below a path."""
        host, path = split_prefix(order)
        for key in list(self._apps.get(app, ())):
            if key[0] == "path" and key[1] == host and key[2].startswith(path.removesuffix("*")):
                self._drop(app, key)

    def forget_all(self, app: str) -> None:
        """Forget all that is remembered of an app."""
        for key in list(self._apps.get(app, ())):
            self._drop(app, key)

    def drop(self, app: str, key: Key) -> None:
        """Forget one entry."""
        self._drop(app, key)

    def paths(self, app: str, now: float) -> tuple[str, ...]:
        """Return the paths, without final `*`, of an app's entries by path that still hold."""
        entries = self._apps.get(app, OrderedDict())
        for key in [key for key, entry in entries.items() if entry.until <= now]:
            self._drop(app, key)
        return tuple(sorted({key[2].removesuffix("*") for key in self._apps.get(app, ()) if key[0] == "path"}))

    def apps(self) -> tuple[str, ...]:
        """Return the apps of which anything is remembered."""
        return tuple(self._apps)

    def _drop(self, app: str, key: Key) -> None:
        known = self._apps.get(app)
        if known is not None and known.pop(key, None) is not None:
            self._size -= 1
            if not known:
                del self._apps[app]


def path_key(order: CacheOrder) -> Key:
    """Return the key of an entry by path."""
    return ("path", *split_prefix(order))


def split_prefix(order: CacheOrder) -> tuple[str, str]:
    """Return host, without port, and path with its `*`."""
    host, _, path = order.prefix.partition("/")
    return host.partition(":")[0], "/" + path


def session_key(rule: SessionRule, request: Fields) -> Key | None:
    """Return the key of the session that a request belongs to by a rule; None when it belongs to none."""
    if not path_of(request).startswith(rule.path_prefix):
        return None
    value = _cookie(request.get("cookie"), rule.name) if rule.type == "cookie" else request.get(rule.name)
    return ("session", rule.type, rule.name, value) if value and len(value) <= MAX_VALUE else None


def path_of(request: Fields) -> str:
    """Return the path of a request without its query."""
    return request_line(request)[1].partition("?")[0]


def _below(path: str, pattern: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _cookie(header: str, name: str) -> str:
    for piece in header.replace(",", ";").split(";"):
        key, equals, value = piece.strip().partition("=")
        if equals and key == name:
            return value.strip('"')
    return ""
