"""Brings ended requests from Envoy's access log to who keeps them, without ever holding up a request.

State: entries that wait to be read, and what the activator noted of requests whose entry has not come yet; both in
memory and bounded. The event loop does nothing but put an entry into a queue; one thread reads, joins and hands on
in small lots, with pauses, so that it never holds the interpreter for long. When entries come faster than it can
take them, those that find the queue full are dropped and counted. A kill loses what was in memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

from roost.edge.contract import Route
from roost.edge.entries import Activation, app_asked_for, read_entry
from roost.model.request import Request

Take = Callable[[Sequence[tuple[str, Request]]], None]  # (app, "" for none that there is; request)
QUEUE = 10_000  # entries that wait
NOTES = 16_384  # requests through the activator whose end is awaited
LOT = 500  # requests handed on at once
AT_ONCE = 25  # entries read between two pauses
PAUSE = 0.0005  # seconds
GATHER = 0.1  # seconds between two lots when there is little to do
MACHINES = 256  # addresses kept per app
_ACTIVATOR = "activator"  # route and cluster, see listener.py
_log = logging.getLogger("roost.edge")


class RequestFeed:
    """All methods but `start` and `stop` are cheap and for the event loop."""

    def __init__(self) -> None:
        self.take: Take | None = None  # set before `start`; without it nothing is kept
        self.dropped = 0
        self._queue: deque[tuple[str, Any, str, Activation | None, bool]] = deque()
        self._notes: OrderedDict[str, Activation] = OrderedDict()
        self._machines: dict[str, dict[str, str]] = {}  # app -> address -> machine
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to hand on."""
        if self.take is not None and self._thread is None:
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Hand on what waits, then end the thread."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def note(self, request_id: str, activation: Activation) -> None:
        """Keep what the activator knows of a request until its entry comes."""
        if request_id and self._thread is not None:
            self._notes[request_id] = activation
            if len(self._notes) > NOTES:
                self._notes.popitem(last=False)

    def routed(self, route: Route) -> None:
        """Learn which machine is behind an address. One that left is kept: its last requests are still to end."""
        known = self._machines.setdefault(route.app, {})
        known.update((endpoint.address, endpoint.machine_id) for endpoint in route.endpoints)
        while len(known) > MACHINES:
            del known[next(iter(known))]

    def forget(self, app: str) -> None:
        """Forget the addresses of an app that has no route and no request any more."""
        self._machines.pop(app, None)

    def ended(self, entry: Any) -> None:
        """Take an entry that tells of a request's end."""
        if self._thread is None:
            return
        common = entry.common_properties
        to_activator = common.upstream_cluster == _ACTIVATOR or common.route_name == _ACTIVATOR
        activation = self._notes.pop(entry.request.request_id, None) if to_activator else None
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return
        app = app_asked_for(entry, activation)
        known = self._machines.get(app)
        machine = known.get(common.upstream_remote_address.socket_address.address, "") if known else ""
        self._queue.append((app, entry, machine, activation, to_activator))

    def _run(self) -> None:
        while True:
            ending = self._ending.wait(GATHER)
            while self._queue:
                lot: list[tuple[str, Request]] = []
                while self._queue and len(lot) < LOT:
                    self._read_some(lot)
                    time.sleep(PAUSE)
                self._hand_on(lot)
            if ending:
                return

    def _read_some(self, lot: list[tuple[str, Request]]) -> None:
        for _ in range(min(AT_ONCE, len(self._queue))):
            app, entry, machine, activation, to_activator = self._queue.popleft()
            try:
                lot.append((app, read_entry(entry, machine, activation, to_activator=to_activator)))
            except Exception:
                self.dropped += 1
                _log.exception("an access log entry can't be read")

    def _hand_on(self, lot: list[tuple[str, Request]]) -> None:
        try:
            assert self.take is not None
            self.take(lot)
        except Exception:
            self.dropped += len(lot)
            _log.exception("requests could not be kept")
