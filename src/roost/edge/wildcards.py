"""Wildcards of apps in Envoy, where one stands for any number of labels, and where only awake apps are known. Pure.

So in the virtual host of an app that has a wildcard, routes before all others lead to the activator what is deeper,
and what is other apps', which may sleep: the activator knows whose names are. A wildcard for which that can't be said
to Envoy, whose patterns are bounded, is not told to it: its names always go by way of the activator.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from roost.edge.contract import Route
from roost.model.certificate import WILDCARD

LONGEST = 48  # characters of a name: Envoy refuses patterns with more than a hundred instructions
MOST = 50  # names of others below an app's wildcards
_PORT = "(:[0-9]*)?"


def domains(route: Route) -> list[str]:
    """Return the host names that Envoy leads to an app by itself."""
    exact = {host for host in route.hosts if not host.startswith(WILDCARD)}
    return sorted(exact | set(_wildcards(route)))


def keep_to_own(host: Any, route: Route, lead: Callable[[Any], None]) -> None:
    """Add the routes to a virtual host; `lead` makes a route lead to the activator."""
    wildcards = _wildcards(route)
    patterns = [rf"[^.:]+\.[^:]+\.{re.escape(name.removeprefix(WILDCARD))}" for name in wildcards]
    patterns += [re.escape(name) for name in route.others if wildcards]
    for pattern in patterns:
        entry = host.routes.add()
        lead(entry)
        entry.match.prefix = "/"
        entry.match.headers.add(name=":authority").string_match.safe_regex.regex = f"(?i){pattern}{_PORT}"


def _wildcards(route: Route) -> list[str]:
    names = [host for host in route.hosts if host.startswith(WILDCARD)]
    said = len(route.others) <= MOST and all(len(name) <= LONGEST for name in (*names, *route.others))
    return sorted(set(names)) if said else []
