"""Admission to an app: its `hard_limit`, for all of Envoy's threads together, and the line of those that wait. Pure.

Envoy's own means (circuit breakers) count connections per thread and let requests wait without a deadline, so a filter
of our own does it: `admission.c`, which Envoy loads and which looks at no byte of a request. It is switched on by an
app's route, so that an app without a limit pays nothing. So many requests pass at once as all machines of the app may
have; each then goes to the machine with the fewest. What comes above that waits, first come first served, in any
order of machines: `queue_length` at most, `QUEUE_WAIT` at most. Where the module can't be had (`module_of` says ""),
the circuit breakers stay in its place (machine_limits.py), without the deadline.

The module also ends requests whose body stands still for `BODY_PATIENCE`, where a route asks for it: Envoy's own
time-outs can't tell a body that does not come from an app that takes its time, or from a stream.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from roost.edge.protos import DynamicModuleFilterPerRoute, StringValue, any_of

SOURCE = Path(__file__).with_name("admission.c")
SEARCH_PATH = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"  # the variable that tells Envoy where modules are
LATE = "roost_line_timeout"  # Envoy's words on a request that waited too long
FULL = "roost_line_full"
STALLED = "roost_body_stalled"  # of a body of which nothing came for too long
QUEUE_WAIT = 30.0  # seconds
BODY_PATIENCE = 300.0  # seconds in which something of a request's body has to come, as long as there is no answer
WAITING = "dynamicmodulescustom.waiting.of."  # a gauge for each name that has had to wait: how many do
_KIND = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def module_name() -> str:
    """Return the module's name, which is another one for each version of its source."""
    return "roost-admission-" + hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]


def file_name(module: str) -> str:
    """Return the name of a module's file, as Envoy looks for it."""
    return f"lib{module}.so"


def filters(module: str) -> list[dict[str, Any]]:
    """Return the HTTP filters, switched off, that a connection manager ends with before the router."""
    if not module:
        return []
    loaded = {"@type": _KIND, "dynamic_module_config": {"name": module, "do_not_close": True}, "filter_name": module}
    of_body = {**loaded, "filter_name": "body"}
    return [
        {"name": _of_body(module), "typed_config": of_body, "disabled": True},
        {"name": module, "typed_config": loaded, "disabled": True},
    ]


def _of_body(module: str) -> str:
    return f"{module}-body"


def watch_body(entry: Any, module: str) -> None:
    """End requests of a route whose body stands still."""
    if module:
        _configure(entry, _of_body(module), module, f"body {round(BODY_PATIENCE * 1000)}")


def admit(entry: Any, module: str, name: str, *, limit: int, queue: int, wait: float) -> None:
    """Let `limit` requests of a route pass at once, and `queue` wait for `wait` seconds. `name` is whose they are.

    The filter is called as the module, so that one version never gets what another made of a configuration.
    """
    _configure(entry, module, module, f"{name} {limit} {queue} {round(wait * 1000)}")


def _configure(entry: Any, filter_name: str, module: str, text: str) -> None:
    config = DynamicModuleFilterPerRoute()
    config.dynamic_module_config.name = module
    config.dynamic_module_config.do_not_close = True
    config.filter_config.CopyFrom(any_of(StringValue(value=text)))
    entry.typed_per_filter_config[filter_name].CopyFrom(any_of(config))
