"""The replay server: takes the requests that an app replays and those that say where they want to go, and splices them.

Envoy sends it a request a second time when an app's answer was `fly-replay` (see steering_config), and at once when a
client names a machine or a region, or when the way of its session is remembered. It asks the `Waker` for a machine,
sends the request there, and looks at the answer's head: another replay goes round again, anything else is spliced to
Envoy. A body streams; up to 1 MB of it is kept for further rounds. It owns no state beyond its connections and the
replay cache. Bounds: `MAX_AT_ONCE` requests, `MAX_REPLAYS` rounds for each, deadlines for every step up to the answer's
head but the app's own thinking. If roostd dies its connections break; Envoy tells the clients that it restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.edge.connection_server import ConnectionServer
from roost.edge.contract import Endpoint, Refusal, Waker, WakeResult
from roost.edge.entries import Steered
from roost.edge.head import PRIVATE, plain_host
from roost.edge.http_head import END, BadMessage, Fields, parse_request, parse_response
from roost.edge.replay_answer import Answer, asks_for_replay, read_body
from roost.edge.replay_cache import Entry, ReplayCache, path_key, session_key, split_prefix
from roost.edge.replaying import Ordered, Trip, answered_by, invalid, order_from_envoy, order_of_answer
from roost.edge.snapshot import app_of
from roost.edge.splice import (
    BAD_HEAD,
    BROKEN,
    CHUNK,
    CLOSED,
    HEAD_TIMEOUT,
    connect,
    flush,
    move,
    not_listening,
    refusal_of,
    refuse,
)
from roost.edge.steering_config import ANSWERED, ORDER, ROUTE, STEER
from roost.model.errors import BadInput
from roost.model.steering import SessionRule

MAX_AT_ONCE = 4096
MAX_INTERIM = 16  # heads before that of the answer
REACH_DEADLINE = 70.0  # seconds for a wake-up and a connection; the waker gives up before
GONE = "gone"  # the client went away

_CROWDED = refusal_of("too_many_replays_at_once")
_NOBODY = frozenset({"no_candidate", "machine_not_found", "replay_app_not_found", "replay_unauthorized"})
_UNREADABLE = refusal_of("app_invalid_answer")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the replay servers of an edge share: the cache, an app's rules for sessions, and whom to tell.

    `changed` is told an app whose paths in the cache have changed.
    """

    cache: ReplayCache
    rules: Callable[[str], Sequence[SessionRule]]
    changed: Callable[[str], None]


class ReplayServer(ConnectionServer):
    """A server on a unix socket. `count` is told when a request to an app begins and ends to be spliced."""

    def __init__(
        self,
        path: Path,
        waker: Waker,
        count: Callable[[str, int], None],
        report: Callable[[BaseException], None],
        remembered: Remembered,
        note: Callable[[str, Steered], None],
        woken: Callable[[str], str],
    ) -> None:
        """`note` is told of each request, by its id, before it can have ended.

        `woken` gives the machine to which the activator has led a request, by its id, "" if it led it nowhere.
        """
        super().__init__(path, report)
        self._waker, self._count = waker, count
        self._note, self._woken = note, woken
        self._cache, self._rules, self._changed = remembered.cache, remembered.rules, remembered.changed

    @property
    def under_way(self) -> int:
        """Requests that are with the replay server now."""
        return len(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                request = parse_request(await reader.readuntil(END))
        except (BadMessage, asyncio.LimitOverrunError, TimeoutError):
            await refuse("GET", "", BAD_HEAD, reader, writer)
            return
        trip = Trip(app_of(request.get(ROUTE)) or self._asked_for(request), request, _now())
        refusal = _CROWDED if len(self._tasks) > MAX_AT_ONCE else self._set_out(trip)
        client = _Client(reader, writer, trip)
        try:
            while refusal is None:
                refusal = await self._round(trip, client)
        except _Done:
            return
        finally:
            await client.close()
        self._tell(trip, refusal.code)
        await refuse(trip.method, request.get("accept"), refusal, reader, writer)

    def _tell(self, trip: Trip, error: str = "") -> None:
        self._note(trip.request.get("x-request-id"), Steered(trip.app, trip.machine, error))

    def _asked_for(self, request: Fields) -> str:
        """Return the app of a request that no route was for: by the private address it called, or by its host name."""
        address = request.get(PRIVATE).strip("[]")
        return self._waker.app_of(self._waker.host_at(address) if address else plain_host(request.get("host")))

    def _set_out(self, trip: Trip) -> Refusal | None:
        """Find out why the request came here: an app's order, a remembered one, or the client's wish."""
        kept = trip.request.get(ORDER)
        if kept.startswith("s:"):
            address = answered_by(trip.request.get(ANSWERED))
            found, region = self._waker.machine_at(trip.app, address)
            woken = "" if address else self._woken(trip.request.get("x-request-id"))
            machine = (woken or found, region)
            trip.machine = machine[0]
            try:
                ordered = order_from_envoy(kept)
            except BadInput as error:
                return invalid(error)
            return self._take(trip, ordered, asker=trip.app, machine=machine)
        rules = self._rules(trip.app)
        entry = self._cache.find(trip.app, plain_host(trip.request.get("host")), trip.request, rules, _now())
        if entry is None:
            return None
        if entry.allow_bypass and trip.request.get(STEER + "replay-cache-control").strip().lower() == "skip":
            trip.cache_status = "bypass"
            return None
        trip.cache_status = "hit"
        region = self._waker.machine_at(trip.app, "")[1]
        return trip.replay(entry.order, asker=trip.app, source=entry.source, region=region)

    def _take(self, trip: Trip, ordered: Ordered, *, asker: str, machine: tuple[str, str]) -> Refusal | None:
        """Carry out an order that a machine of `asker` gave: remember it if it says so, then go where it leads."""
        order, (source, region) = ordered.order, machine
        if asker == trip.app:
            refusal = self._remember(trip, ordered, source)
            if refusal is not None:
                return refusal
        return trip.replay(order, asker=asker, source=source, region=region)

    def _remember(self, trip: Trip, ordered: Ordered, source: str) -> Refusal | None:
        cache = ordered.cache
        if cache is not None:
            host, _ = split_prefix(cache)
            if self._waker.app_of(host) != trip.app:
                return invalid(BadInput(f"fly-replay-cache: {host[:80]} is not a host of {trip.app}"))
            self._cache.forget(trip.app, cache)
            if not cache.invalidate:
                entry = Entry(path_key(cache), ordered.order, source, _now() + cache.ttl, cache.allow_bypass)
                self._cache.remember(trip.app, entry)
                trip.cache_status = trip.cache_status or "miss"
            self._changed(trip.app)
        for rule in self._rules(trip.app):
            key = session_key(rule, trip.request)
            if key is not None:
                entry = Entry(key, ordered.order, source, _now() + rule.ttl, rule.allow_bypass)
                self._cache.remember(trip.app, entry)
                trip.cache_status = trip.cache_status or "miss"
        return None

    async def _round(self, trip: Trip, client: _Client) -> Refusal | None:
        """Send the request to its target: a Refusal ends the trip, None means another round. Raises _Done."""
        result = await client.unless_gone(self._reach(trip))
        if result.endpoint is None:
            return result.refusal or BROKEN
        trip.machine = result.endpoint.machine_id
        self._count(result.app, 1)
        try:
            answer = await client.ask(result.endpoint, trip.outgoing(_now()))
            if isinstance(answer, Refusal):
                return answer
            try:
                if not asks_for_replay(answer.fields):
                    self._tell(trip)
                    await client.relay(answer, trip.final(answer.fields))
                    raise _Done
                ordered = order_of_answer(answer.fields, await read_body(answer))
            except BadInput as error:
                return invalid(error)
            finally:
                await client.leave(answer)
        finally:
            self._count(result.app, -1)
        machine = (result.endpoint.machine_id, self._waker.machine_at(result.app, "")[1])
        return self._take(trip, ordered, asker=result.app, machine=machine)

    async def _reach(self, trip: Trip) -> WakeResult:
        """Find a machine for the request's target, or for what it falls back to."""
        wish, app = trip.target, trip.target_app
        limit = trip.order.timeout if trip.order and trip.order.timeout else REACH_DEADLINE
        result, reason = await self._within(limit, self._waker.reach(trip.asker or app, app, wish))
        if result.endpoint is not None:
            preferred = wish.prefer
            if trip.order is None and preferred and result.endpoint.machine_id != preferred:
                trip.unavailable = preferred
            return result
        if trip.cache_status == "hit" and trip.order is not None:
            self._cache.drop(trip.app, self._key_of(trip))
            trip.order, trip.cache_status = None, "miss"
            return await self._reach(trip)
        back = trip.fall_back(reason, _now())
        if back is None:
            return result
        result, _ = await self._within(REACH_DEADLINE, self._waker.reach(trip.asker, trip.asker, back))
        return result

    def _key_of(self, trip: Trip) -> tuple[str, ...]:
        host = plain_host(trip.request.get("host"))
        entry = self._cache.find(trip.app, host, trip.request, self._rules(trip.app), _now())
        return entry.key if entry else ("",)

    async def _within(self, limit: float, work: Awaitable[WakeResult]) -> tuple[WakeResult, str]:
        """Return what comes of `work`, and in a word why it failed."""
        try:
            async with asyncio.timeout(limit):
                result = await work
        except TimeoutError:
            text = f"No machine took the request within {limit:g} s."
            return WakeResult(refusal=Refusal(503, "app", "replay_timeout", text)), "timeout"
        except Exception as error:
            self._report(error)
            return WakeResult(refusal=BROKEN), "retries_exhausted"
        none = result.refusal is not None and result.refusal.code in _NOBODY
        return result, "no_candidate" if none else "retries_exhausted"


class _Done(Exception):
    """The client has its answer, or went away."""


class _Client:
    """Envoy's side of one request: its body flows to whichever machine is asked, from one reader at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trip: Trip) -> None:
        self._reader, self._writer, self._trip = reader, writer, trip
        self._pump: asyncio.Future[None] | None = None
        self._target: asyncio.StreamWriter | None = None

    async def unless_gone(self, work: Awaitable[WakeResult]) -> WakeResult:
        """Await work; raises _Done when the client goes away meanwhile. Takes in the body's beginning."""
        done, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._collect())
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and gone.result():
                raise _Done
            return await done
        finally:
            done.cancel()
            gone.cancel()
            await asyncio.gather(done, gone, return_exceptions=True)

    async def _collect(self) -> bool:
        """Return True when the client has gone, False when there is a bit of the body: the rest can wait."""
        while len(self._trip.recorded) < CHUNK // 4:
            data = await self._reader.read(CHUNK // 4)
            if not data:
                return True
            self._trip.record(data)
        return False

    async def ask(self, endpoint: Endpoint, head: bytes) -> Answer | Refusal:
        """Send the request to a machine and return the head of its answer; raises _Done when the client went away."""
        try:
            from_app, to_app = await connect(endpoint)
        except (OSError, TimeoutError):
            return not_listening(endpoint)
        to_app.write(head + bytes(self._trip.recorded))
        self._pump = asyncio.ensure_future(self._send(to_app))
        answer: Answer | None = None
        try:
            answer = await self._head(from_app, to_app)
        except (OSError, asyncio.IncompleteReadError):
            return CLOSED
        except (BadMessage, asyncio.LimitOverrunError):
            return _UNREADABLE
        finally:
            if answer is None:
                await self._stop_pump()
                to_app.transport.abort()
        return answer

    async def _head(self, from_app: asyncio.StreamReader, to_app: asyncio.StreamWriter) -> Answer:
        """Wait for the head of the real answer; interim ones go to the client."""
        assert self._pump is not None
        for _ in range(MAX_INTERIM):
            reading = asyncio.ensure_future(from_app.readuntil(END))
            try:
                await asyncio.wait((reading, self._pump), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() and not self._pump.exception():
                    raise _Done  # the client went away
                data = await reading  # a machine may refuse a body half-way and answer all the same
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            status, fields = parse_response(data)
            if status >= 200 or status == 101:
                return Answer(fields, from_app, to_app)
            self._writer.write(data)
        raise BadMessage("the app goes on saying that its answer comes")

    async def _send(self, to_app: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(CHUNK):
            self._trip.record(data)
            to_app.write(data)
            await to_app.drain()

    async def relay(self, answer: Answer, head: bytes) -> None:
        """Send an answer to the client until either side ends."""
        assert self._pump is not None
        self._writer.write(head)
        back = asyncio.ensure_future(move(answer.reader, self._writer))
        try:
            waited: set[asyncio.Future[None]] = {back, self._pump}
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if back not in done and self._pump.exception() is not None:
                await back  # the machine takes no more of the body, but may still answer
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            await flush(self._writer)

    async def leave(self, answer: Answer) -> None:
        """Break off with a machine."""
        await self._stop_pump()
        answer.writer.transport.abort()

    async def close(self) -> None:
        """Stop reading from the client."""
        await self._stop_pump()

    async def _stop_pump(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None


def _now() -> float:
    return time.time()
