"""Brings ended requests from the cells' logs to who keeps them, without ever holding up a request.

State: what the activator and the replay server noted of requests whose line has not come yet, and which machine is
behind an address; all in memory and bounded. One thread reads, joins and hands on in small lots, with pauses, so that
it never holds the interpreter for long; what waits is in the cells' files (tail.py), also while roostd is away. When
they grow faster than it can take them, lines are passed over and counted. Of many that are alike only some are read
(sampling.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from roost.edge.accesslog import CLUSTER, ID, MACHINE, ROUTE, Entry, entry_of, lost_before
from roost.edge.contract import PublicPort, Route
from roost.edge.entries import (
    Activation,
    Steered,
    app_asked_for,
    ended_at,
    read_entry,
    through_activator,
    through_replay,
)
from roost.edge.port_config import app_of_port
from roost.edge.refusals import Refusals
from roost.edge.sampling import Lot
from roost.edge.snapshot import app_of
from roost.edge.tail import LogTail
from roost.edge.tally import Tally
from roost.model.request import Request

Take = Callable[[Sequence[tuple[str, Request]]], None]  # (app, "" for none that there is; request)
Seen = Callable[[Mapping[str, float]], None]  # app -> when its latest request ended
NOTES = 16_384  # requests through the activator, and through the replay server, whose end is awaited
LINES = 10_000  # looked at together
LOT = 500  # requests handed on at once
AT_ONCE = 25  # requests read between two pauses
PAUSE = 0.0005  # seconds
GATHER = 0.1  # seconds between two looks when there is little to do
FIRST_ROUTES = 10.0  # seconds to wait for routes at the start: what was logged meanwhile is about their machines
MACHINES = 256  # addresses kept per app
_log = logging.getLogger("roost.edge")


class RequestFeed:
    """All methods but `stop` are cheap and for the event loop."""

    def __init__(self) -> None:
        self.take: Take | None = None  # set before `start`; without it nothing is kept
        self.dropped = 0
        self._tails: list[tuple[LogTail, Seen, Tally]] = []
        self._notes: OrderedDict[str, Activation] = OrderedDict()
        self._steered: OrderedDict[str, Steered] = OrderedDict()
        self._machines: dict[str, dict[str, str]] = {}  # app -> address -> machine
        self._refusals = Refusals()
        self._routed = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def follow(self, tail: LogTail, seen: Seen, tally: Tally) -> None:
        """Read this log too; `seen` is called on the event loop, `tally` counts what is read. Before `start`."""
        self._tails.append((tail, seen, tally))

    def start(self) -> None:
        """Begin to hand on."""
        if self._thread is None:
            self._ending.clear()
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Hand on what waits, then end the thread."""
        self._ending.set()
        self._routed.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def note(self, request_id: str, activation: Activation) -> None:
        """Keep what the activator knows of a request until its entry comes."""
        if request_id and self._thread is not None:
            self._notes[request_id] = activation
            if len(self._notes) > NOTES:
                self._notes.popitem(last=False)

    def woken(self, request_id: str) -> str:
        """Return the machine to which the activator has led a request that has not ended, "" if it led it nowhere."""
        note = self._notes.get(request_id)
        return note.machine if note is not None else ""

    def steered(self, request_id: str, seen: Steered) -> None:
        """Keep what the replay server knows of a request until its entry comes."""
        if request_id and self._thread is not None:
            self._steered[request_id] = seen
            if len(self._steered) > NOTES:
                self._steered.popitem(last=False)

    def refused(self, app: str, code: str) -> None:
        """Learn why an app could not be woken for who waits at one of its doors."""
        self._refusals.note(app, code, time.time())

    def routed(self, to: Route | PublicPort) -> None:
        """Learn which machine is behind an address. One that left is kept: its last requests are still to end."""
        known = self._machines.setdefault(to.app, {})
        known.update([(endpoint.address, endpoint.machine_id) for endpoint in to.endpoints])
        while len(known) > MACHINES:
            del known[next(iter(known))]
        self._routed.set()

    def all_routed(self) -> None:
        """Learn that there are no more routes for now."""
        self._routed.set()

    def forget(self, app: str) -> None:
        """Forget the addresses of an app that has no route and no request any more."""
        self._machines.pop(app, None)

    def _run(self) -> None:
        if any(tail.has_backlog() for tail, _, _ in self._tails):
            self._routed.wait(FIRST_ROUTES)
        while True:
            time.sleep(GATHER)  # an event's wait, with a deadline, takes three times as much of a processor
            ending = self._ending.is_set()
            for tail, seen, tally in self._tails:
                try:
                    while self._read_lot(tail, seen, tally):
                        pass
                except OSError:
                    _log.exception("the log of requests can't be read")
            if ending:
                for tail, _, _ in self._tails:
                    tail.close()
                return

    def _read_lot(self, tail: LogTail, seen: Seen, tally: Tally) -> bool:
        """Hand on the next requests of a log; False when there are none."""
        lot = Lot()
        while lot.size < LINES:
            data, lost = tail.read()
            self.dropped += lost
            if not data and not lost:
                break
            lot.add(data)
        if not lot.size:
            return False
        latest: dict[str, float] = {}
        requests: list[tuple[str, Request]] = []
        for number, (line, alike) in enumerate(lot.chosen(), 1):
            self._take_in(line, alike, requests, latest)
            if number % AT_ONCE == 0:
                time.sleep(PAUSE)
            if len(requests) == LOT:
                self._hand_on(requests, tally)
                requests = []
        self._hand_on(requests, tally)
        tail.save()
        if latest and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(seen, latest)
        return True

    def _take_in(self, line: bytes, alike: int, lot: list[tuple[str, Request]], latest: dict[str, float]) -> None:
        entry = entry_of(line)
        if entry is None:
            self.dropped += lost_before(line) or alike
            return
        try:
            if not entry[ROUTE] and (app := app_of_port(entry[CLUSTER] or "")):  # a connection, no request
                latest[app] = max(latest.get(app, 0.0), ended_at(entry))
                if (turned_away := self._refusals.turned_away(app, entry)) is not None:
                    lot.append((app, replace(turned_away, alike=alike)))
                return
            app, request = self._joined(entry, alike)
            if app_of(entry[ROUTE] or ""):
                latest[app] = max(latest.get(app, 0.0), ended_at(entry))
        except (ValueError, TypeError, AttributeError):
            self.dropped += alike
        else:
            lot.append((app, request))

    def _joined(self, entry: Entry, alike: int) -> tuple[str, Request]:
        """Return an entry's app and request, with what else is known of it."""
        activation = self._notes.pop(entry[ID] or "", None) if through_activator(entry) else None
        steered = self._steered.pop(entry[ID] or "", None) if through_replay(entry) else None
        app = app_asked_for(entry, steered or activation)
        known = self._machines.get(app)
        machine = known.get(entry[MACHINE] or "", "") if known else ""
        return app, self._refusals.explained(app, read_entry(entry, machine, activation, alike, steered))

    def _hand_on(self, lot: list[tuple[str, Request]], tally: Tally) -> None:
        for app, request in lot:
            tally.note(app, request)
        if self.take is None or not lot:
            return
        try:
            self.take(lot)
        except Exception:
            self.dropped += sum(request.alike for _, request in lot)
            _log.exception("requests could not be kept")
