"""Requests' bodies: how long they may be silent and take, and how much of them Envoy keeps. Pure.

Envoy's own time-outs can't tell a body that does not come from an app that takes its time, or from a stream; and its
bound for a whole request costs each one that has no body, too. So the hook before machines watches (native/bodies.c),
whatever the method is, as long as there is no answer: it knows when there is more to come than headers, and is on
every request's way anyway. What Envoy keeps of bodies, for replays, is bounded by a filter of our own (native/kept.c),
which only requests pass that may have a body; where too much has come to be sent again, it says so.
"""

from __future__ import annotations

from typing import Any

from roost.edge import bounds
from roost.edge.native_module import http_filter, switch_on, switch_on_plainly

STALLED = "roost_body_stalled"  # Envoy's words on a request of whose body nothing came for too long
TOO_MANY = "roost_bodies_too_many"  # and on one for which there was no room
TOO_MANY_OF_APP = "roost_app_bodies_too_many"  # since its app has its part of the room, or all that sleep have it
NOT_REPLAYED = "roost_replay_too_large"  # on an answer that asked for a replay of a request that is no longer there
SOCKET_NOT_REPLAYED = "roost_replay_of_websocket"
BODY_PATIENCE = 300.0  # seconds in which something of a request's body has to come, as long as there is no answer
HOOK = "replay"  # the kind of filter that the hook is
_KEPT = "kept"


def patience(silent: float | None = None) -> str:
    """Return in the hook's words how long it waits; `silent` is in seconds, 0: a body may be silent for ever."""
    return f"{round((BODY_PATIENCE if silent is None else silent) * 1000)} {round(bounds.REQUEST * 1000)}"


def may_be_silent(host: Any) -> None:
    """Let bodies of a virtual host's requests be silent: of gRPC a call may say nothing in both directions."""
    switch_on(host, HOOK, patience(0))


def filters(room: int) -> list[dict[str, Any]]:
    """Return the filter that bounds what is kept, switched off. It stands before what has requests wait in line.

    `room`: bytes that Envoy may have of all requests' bodies.
    """
    return [http_filter(_KEPT, str(room))]


def bound_kept(entry: Any) -> None:
    """Bound what is kept of the bodies of a route's requests, and refuse replays that can't be done with it."""
    switch_on_plainly(entry, _KEPT)
