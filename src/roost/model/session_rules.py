"""`http_options.replay_cache` of a service: sessions that stay where their first request was replayed to. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput
from roost.model.port_options import HttpOptions, http_behaviour_to_json, read_http_behaviour
from roost.model.replay_order import MAX_CACHE_TTL, MIN_CACHE_TTL
from roost.model.steering import SessionRule

MAX_RULES = 10
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~_-]{1,128}")
_EDGES = ("fly-", "roost-", "x-envoy-", "steer-")


def read_http_options(data: object, where: str) -> tuple[tuple[SessionRule, ...], HttpOptions]:
    """Read `http_options`; raises BadInput that names the key."""
    reader = Reader({} if data is None else data, where)
    rules = reader.items("replay_cache", read_session_rule)
    options = read_http_behaviour(reader, where)
    reader.done()
    if len(rules) > MAX_RULES:
        raise BadInput(f"{where}.replay_cache has more than {MAX_RULES} entries")
    return rules, options


def read_session_rule(data: object, where: str) -> SessionRule:
    """Read one of `replay_cache`; raises BadInput that names the key."""
    reader = Reader(data, where)
    rule = SessionRule(
        type=reader.text("type", "cookie", among=("cookie", "header")),
        name=reader.text("name"),
        ttl=reader.number("ttl_seconds", 0, MIN_CACHE_TTL, MAX_CACHE_TTL),
        path_prefix=reader.text("path_prefix", "/") or "/",
        allow_bypass=reader.flag("allow_bypass", False),
    )
    reader.done()
    return check_session_rule(rule, where)


def check_session_rule(rule: SessionRule, where: str) -> SessionRule:
    """Return the rule with a header's name in lower case; raises BadInput for one that could have no effect."""
    if not _NAME.fullmatch(rule.name) or (rule.type == "header" and "_" in rule.name):
        raise BadInput(f"{where}.name must be the name of a {rule.type}, not {rule.name[:40]!r}")
    if rule.type == "header" and rule.name.lower().startswith(_EDGES):
        raise BadInput(f"{where}.name: clients can't send {rule.name[:40]}")
    if not rule.ttl:
        raise BadInput(f"{where}.ttl_seconds is missing", hint=f"from {MIN_CACHE_TTL} to {MAX_CACHE_TTL} seconds")
    if not rule.path_prefix.startswith("/") or any(not "!" <= c <= "~" or c in "?#" for c in rule.path_prefix):
        raise BadInput(f"{where}.path_prefix must begin with '/' and hold no blanks")
    if rule.type == "cookie":
        return rule
    return SessionRule(rule.type, rule.name.lower(), rule.ttl, rule.path_prefix, rule.allow_bypass)


def http_options_to_json(rules: Sequence[SessionRule], options: HttpOptions) -> dict[str, Any]:
    """Return the API's form of `http_options`, {} where nothing is set."""
    found = [
        {
            "path_prefix": rule.path_prefix,
            "ttl_seconds": rule.ttl,
            "type": rule.type,
            "name": rule.name,
            "allow_bypass": rule.allow_bypass,
        }
        for rule in rules
    ]
    out = http_behaviour_to_json(options) | ({"replay_cache": found} if found else {})
    return {"http_options": out} if out else {}
