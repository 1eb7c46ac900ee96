"""Reads an entry of Envoy's access log (accesslog.py): which app, how long each part took, what went wrong. Pure.

What Envoy tells: when the request's first byte came, when the connection to the app was begun and made (only if it
was a new one), first and last byte in each direction, flags and words on how it ended. What the activator knows of
the same request comes as an `Activation`: Envoy sees of a wake nothing but a slow answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from roost.edge.accesslog import (
    ANSWERED,
    AT,
    BYTES_IN,
    BYTES_OUT,
    CLIENT,
    CLUSTER,
    CONNECTED,
    CONNECTING,
    DETAILS,
    DURATION,
    FLAGS,
    HOST,
    ID,
    INVALID,
    METHOD,
    PATH,
    PROTOCOL,
    ROUTE,
    SENT,
    SENT_WHOLE,
    STATUS,
    TOTAL,
    TRIES,
    Entry,
)  # fmt: skip
from roost.edge.admission import LATE
from roost.edge.contract import Endpoint, WakeResult
from roost.edge.replies import code_of
from roost.edge.snapshot import ACTIVATOR, app_of
from roost.edge.statics import static_app_of
from roost.edge.steering_config import REPLAY
from roost.model.edge_errors import invalid_answer
from roost.model.request import Request, redacted

_METHOD = re.compile("[A-Z][A-Z-]{0,15}")  # also WebDAV's and others


@dataclass(frozen=True, slots=True)
class Activation:
    """What the activator knows of a request. Durations are milliseconds; `read_at` is Unix time."""

    app: str  # "" when there is no such app
    machine: str
    read_at: float
    wake: float
    connect: float
    error: str = ""
    queue: float = 0.0  # until the machine was below its limit
    statics: bool = False  # it went to who serves them


@dataclass(frozen=True, slots=True)
class Steered:
    """What the replay server knows of a request: the app it came for, the last machine that saw it, its error."""

    app: str
    machine: str
    error: str = ""


class Sighting:
    """One request as the activator sees it go by; tells `note` what it knows before the request can have ended."""

    def __init__(self, request_id: str, note: Callable[[str, Activation], None]) -> None:
        self._id, self._note = request_id, note
        self._read_at = time.time()
        self._since = time.monotonic()
        self._wake = self._queue = 0.0
        self._app = self._machine = ""

    def woken(self, result: WakeResult) -> None:
        """The waker has answered."""
        self._wake = self._lap()
        self._app, self._machine = result.app, result.endpoint.machine_id if result.endpoint else ""

    def admitted(self, place: Endpoint | None) -> None:
        """This machine has room for it; None: there was none for too long."""
        self._queue = self._lap()
        self._machine = place.machine_id if place is not None else self._machine

    def connected(self) -> None:
        """The app has accepted the connection."""
        self._note(
            self._id, Activation(self._app, self._machine, self._read_at, self._wake, self._lap(), queue=self._queue)
        )

    def static(self, app: str) -> None:
        """The request is for a file that is served without the app."""
        self._note(self._id, Activation(app, "", self._read_at, 0.0, 0.0, statics=True))

    def refused(self, app: str, code: str) -> None:
        """The request is answered with an error of this class."""
        self._note(self._id, Activation(app, self._machine, self._read_at, self._wake, 0.0, code, self._queue))

    def _lap(self) -> float:
        since, self._since = self._since, time.monotonic()
        return (self._since - since) * 1000


def app_asked_for(entry: Entry, activation: Activation | Steered | None) -> str:
    """Return the app that a request was for, "" when it can't be told or there is none."""
    route = entry[ROUTE] or ""
    return app_of(route) or static_app_of(route) or (activation.app if activation else "")


def through_activator(entry: Entry) -> bool:
    """Tell whether a request went to the activator."""
    return ACTIVATOR in (entry[CLUSTER], entry[ROUTE])


def through_replay(entry: Entry) -> bool:
    """Tell whether a request went to the replay server, at once or in the end."""
    return bool(entry[CLUSTER] == REPLAY)


def ended_at(entry: Entry) -> float:
    """Return when a request ended, Unix time."""
    return float(entry[AT]) + float(entry[DURATION] or 0) / 1000


def read_entry(
    entry: Entry, machine: str, activation: Activation | None, alike: int = 1, steered: Steered | None = None
) -> Request:
    """Return the request of an entry, which stands for `alike`. `machine` is where its last connection led.

    Raises ValueError, TypeError.
    """
    at, status, details = float(entry[AT]), int(entry[STATUS] or 0), entry[DETAILS] or ""
    total = entry[TOTAL] / 1000 if entry[TOTAL] is not None else float(entry[DURATION] or 0)
    flags = entry[FLAGS].split(",") if entry[FLAGS] else ()
    queue, wake, connect, app = _parts(entry, total)
    error = ""
    if status >= 400 or flags:
        own = not details.startswith(("via_upstream", "upstream_reset_after_response_started"))
        error = code_of(
            flags, status, details, own=own, to_activator=through_activator(entry) or through_replay(entry),
            to_statics=bool(static_app_of(entry[ROUTE] or "")) or (activation is not None and activation.statics),
        )  # fmt: skip
    if LATE in details:
        queue = total  # it waited for nothing else
    if activation is not None:
        machine, wake, connect = activation.machine, activation.wake, activation.connect
        queue = max(0.0, (activation.read_at - at) * 1000) + activation.queue
        first = entry[ANSWERED] / 1000 if entry[ANSWERED] else total
        app = 0.0 if activation.error else max(0.0, first - queue - wake - connect)
        error = activation.error if error != "client_gone" and activation.error else error
    if steered is not None:
        machine = steered.machine
        error = steered.error if error != "client_gone" and steered.error else error
    return Request(
        at=at,
        id=entry[ID] or "",
        method=entry[METHOD] if _METHOD.fullmatch(entry[METHOD] or "") else "",
        host=entry[HOST] or "",
        path=redacted(entry[PATH] or ""),
        status=status,
        protocol=entry[PROTOCOL] or "",
        client=entry[CLIENT] or "",
        machine=machine,
        bytes_in=int(entry[BYTES_IN] or 0),
        bytes_out=int(entry[BYTES_OUT] or 0),
        queue=round(queue, 3),
        wake=round(wake, 3),
        connect=round(connect, 3),
        app=round(app, 3),
        total=round(total, 3),
        tries=int(entry[TRIES] or 0),
        error=error,
        alike=alike,
        detail=invalid_answer(error, int(entry[INVALID]) // (entry[TRIES] or 1)) if entry[INVALID] is not None else "",
    )


def _parts(entry: Entry, total: float) -> tuple[float, float, float, float]:
    """Return queue, wake, connect and app, in milliseconds, of a request that went straight to the app."""
    sent, whole, first = entry[SENT], entry[SENT_WHOLE] or 0, entry[ANSWERED] or total * 1000
    if not sent:  # it never had a connection
        return (total if entry[TRIES] else 0.0), 0.0, 0.0, 0.0
    connect = max(0, entry[CONNECTED] - (entry[CONNECTING] or 0)) if entry[CONNECTED] else 0
    waited = first - (whole if sent < whole < first else sent)
    return max(0, sent - connect) / 1000, 0.0, connect / 1000, max(0, waited) / 1000
