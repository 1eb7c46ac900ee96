"""What an app asks for when it answers a request with `fly-replay`: where the request goes instead. Pure.

Two forms say the same (reference, section 3): the response header `fly-replay: instance=..;state=..`, and a body of the
type `application/vnd.fly.replay+json`. All of it comes from an app, so from anyone: what isn't understood is refused
by name, and nothing that is set on the request may forge a header of the edge or break out of one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from roost.model.errors import BadInput

JSON_TYPE = "application/vnd.fly.replay+json"
FALLBACKS = ("", "force_self", "prefer_self")
MAX_ORDER = 16 * 1024  # bytes of the header or the body
MAX_STATE = 4096
MAX_TIMEOUT = 60.0
MIN_CACHE_TTL = 10
MAX_CACHE_TTL = 86_400
_MAX_HEADERS = 50
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,128}")  # a token (RFC 9110) without underscores, as the edge has it
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)?")
_RESERVED = ("fly-", "roost-", "x-envoy-", "x-forwarded-", "proxy-", "sec-websocket-")
_FRAMING = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        "via", "x-request-id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transform:
    """Changes of the request before it goes to where it is replayed. `path` is "" where it stays."""

    path: str = ""
    delete_headers: tuple[str, ...] = ()
    set_headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CacheOrder:
    """That requests below `prefix` (`HOST/PATH/*`) go the same way, for `ttl` seconds, without the app being asked."""

    prefix: str
    ttl: int = 0
    invalidate: bool = False
    allow_bypass: bool = False


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """Where a request is to go instead, and how. Empty fields don't narrow it."""

    regions: tuple[str, ...] = ()
    instance: str = ""
    prefer_instance: str = ""
    app: str = ""
    state: str = ""
    elsewhere: bool = False
    timeout: float = 0.0  # seconds in which the target must take the request; 0: the edge's own deadline
    fallback: str = ""
    transform: Transform = Transform()
    cache: CacheOrder | None = None


def order_from_header(value: str) -> ReplayOrder:
    """Read the header's form; raises BadInput that names the field."""
    if len(value) > MAX_ORDER:
        raise BadInput(f"fly-replay is longer than {MAX_ORDER} bytes")
    fields: dict[str, Any] = {}
    for piece in filter(None, (piece.strip() for piece in value.split(";"))):
        key, equals, text = piece.partition("=")
        key = key.strip().lower()
        if not equals or key not in _HEADER_FIELDS:
            raise BadInput(f"fly-replay: {key[:40]!r} is not a field", hint=f"use {', '.join(_HEADER_FIELDS)}")
        if key in fields:
            raise BadInput(f"fly-replay: {key} is given twice")
        fields[key] = text.strip()
    return _order(fields)


_HEADER_FIELDS = ("region", "instance", "prefer_instance", "app", "state", "elsewhere", "timeout", "fallback")


def order_from_json(body: bytes) -> ReplayOrder:
    """Read the JSON form; raises BadInput that names the field."""
    if len(body) > MAX_ORDER:
        raise BadInput(f"the replay's body is longer than {MAX_ORDER} bytes")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("the replay's body is not JSON") from None
    if not isinstance(data, dict):
        raise BadInput("the replay's body is not an object")
    _only(data, (*_HEADER_FIELDS, "transform", "cache"), "fly-replay")
    return _order({key: value for key, value in data.items() if value is not None})


def _order(fields: dict[str, Any]) -> ReplayOrder:
    order = ReplayOrder(
        regions=_regions(fields.get("region", "")),
        instance=_machine(fields.get("instance", ""), "instance"),
        prefer_instance=_machine(fields.get("prefer_instance", ""), "prefer_instance"),
        app=_word(fields.get("app", ""), "app"),
        state=_state(fields.get("state", "")),
        elsewhere=_flag(fields.get("elsewhere", False), "elsewhere"),
        timeout=_timeout(fields.get("timeout", "")),
        fallback=_text(fields.get("fallback", ""), "fallback"),
        transform=_transform(fields.get("transform", {})),
        cache=_cache(fields["cache"]) if "cache" in fields else None,
    )
    if order.fallback not in FALLBACKS:
        raise BadInput(f"fallback: {order.fallback[:40]!r} is unknown", hint="use force_self or prefer_self")
    aims = (order.regions, order.instance, order.prefer_instance, order.app, order.elsewhere)
    if not any(aims) and not (order.cache and order.cache.invalidate):
        raise BadInput("fly-replay names no target", hint="give region, instance, prefer_instance, app or elsewhere")
    return order


def _regions(value: object) -> tuple[str, ...]:
    words = value if isinstance(value, list) else _text(value, "region").split(",")
    found = tuple(_word(_text(word, "region").strip(), "region") for word in words if word != "")
    if len(found) > 50:
        raise BadInput("region: more than 50 are named")
    return found


def _machine(value: object, key: str) -> str:
    text = _text(value, key).lower()
    if text and not re.fullmatch(r"[0-9a-f]{1,32}", text):
        raise BadInput(f"{key}: {text[:40]!r} is not a machine's id")
    return text


def _word(value: object, key: str) -> str:
    text = _text(value, key).lower()
    if text and not _WORD.fullmatch(text):
        raise BadInput(f"{key}: {text[:40]!r} is not a name")
    return text


def _state(value: object) -> str:
    """Return what comes back in `fly-replay-src`: it must not end the field, nor the header."""
    text = _text(value, "state")
    if len(text) > MAX_STATE or ";" in text or not _is_header_value(text):
        raise BadInput(f"state must be up to {MAX_STATE} printable characters without ';'")
    return text


def _timeout(value: object) -> float:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _text(value, "timeout")
    if text == "":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadInput(f"timeout: {text[:40]!r} is not a duration", hint="for example 5s or 500ms")
    seconds = float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2] or "s"]
    if seconds <= 0:
        raise BadInput("timeout must be more than 0")
    return min(seconds, MAX_TIMEOUT)


def _transform(value: object) -> Transform:
    data = _object(value, "transform", ("path", "delete_headers", "set_headers"))
    path = _text(data.get("path") or "", "transform.path")
    if path and (not path.startswith("/") or len(path) > 8192 or any(not "!" <= c <= "~" or c == "#" for c in path)):
        raise BadInput("transform.path must begin with '/' and hold printable ASCII, percent-encoded where need be")
    deleted = _list(data.get("delete_headers") or [], "transform.delete_headers")
    pairs = _list(data.get("set_headers") or [], "transform.set_headers")
    return Transform(
        path,
        tuple(_header_name(name, "transform.delete_headers") for name in deleted),
        tuple(_header(pair) for pair in pairs),
    )


def _header(value: object) -> tuple[str, str]:
    data = _object(value, "transform.set_headers", ("name", "value"))
    name = _header_name(data.get("name", ""), "transform.set_headers")
    text = _text(data.get("value", ""), f"transform.set_headers: {name}")
    if len(text) > 8192 or not _is_header_value(text):
        raise BadInput(f"transform.set_headers: the value of {name} is not one of a header")
    return name, text


def _header_name(value: object, key: str) -> str:
    name = _text(value, key).lower()
    if not _NAME.fullmatch(name):
        raise BadInput(f"{key}: {name[:40]!r} is not the name of a header")
    if name in _FRAMING or name.startswith(_RESERVED):
        raise BadInput(f"{key}: {name[:40]} may not be changed", hint="only the edge sets it")
    return name


def _cache(value: object) -> CacheOrder:
    data = _object(value, "cache", ("prefix", "ttl", "invalidate", "allow_bypass"))
    invalidate = _flag(data.get("invalidate", False), "cache.invalidate")
    ttl = data.get("ttl", 0)
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        raise BadInput("cache.ttl must be a whole number of seconds")
    return cache_order(
        _text(data.get("prefix", ""), "cache.prefix"), ttl, invalidate=invalidate,
        allow_bypass=_flag(data.get("allow_bypass", False), "cache.allow_bypass"),
    )  # fmt: skip


def cache_order(prefix: str, ttl: int, *, invalidate: bool = False, allow_bypass: bool = False) -> CacheOrder:
    """Return the order to cache below `HOST/PATH/*`; raises BadInput."""
    host, slash, path = prefix.lower().partition("/")[0], "/", prefix.partition("/")[2]
    if not host or not all(c.isascii() and (c.isalnum() or c in "-.:") for c in host):
        raise BadInput(f"cache: {prefix[:60]!r} is not HOST/PATH/*", hint="for example example.com/users/42/*")
    if len(prefix) > 1024 or any(not "!" <= c <= "~" or c in "?#" for c in path) or "*" in path.removesuffix("*"):
        raise BadInput("cache: the path holds something else than printable ASCII, or '*' before its end")
    if not invalidate and not MIN_CACHE_TTL <= ttl <= MAX_CACHE_TTL:
        raise BadInput(f"cache: the time to live must be {MIN_CACHE_TTL} to {MAX_CACHE_TTL} seconds")
    return CacheOrder(host + slash + path, ttl, invalidate, allow_bypass)


def _is_header_value(text: str) -> bool:
    return text == text.strip() and all(" " <= c <= "~" for c in text)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{key} must be text")
    return value


def _flag(value: object, key: str) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise BadInput(f"{key} must be true or false")


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list) or len(value) > _MAX_HEADERS:
        raise BadInput(f"{key} must be a list of up to {_MAX_HEADERS}")
    return value


def _object(value: object, key: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{key} must be an object")
    _only(value, keys, key)
    return value


def _only(data: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in keys:
            raise BadInput(f"{where}: {str(key)[:40]!r} is not a field", hint=f"use {', '.join(keys)}")
