"""One request on its way through the replay server: where it goes next, what is said on the way, when it ends. Pure.

Invariant: a request is replayed at most `MAX_REPLAYS` times, whoever asks for it. What an app asks for changes the
request that the client sent, not the one that an earlier app made of it, so that no app can add to another's headers.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from roost.edge.contract import Refusal
from roost.edge.head import PRIVATE, PRIVATE_HOST
from roost.edge.http_head import Fields, request_line, with_target
from roost.edge.replies import MARK
from roost.edge.splice import refusal_of
from roost.edge.steering_config import AGAIN, ANSWERED, ID, ORDER, REPLAYABLE, ROUTE, STEER
from roost.model.errors import BadInput
from roost.model.replay_order import (
    CacheOrder,
    ReplayOrder,
    cache_order,
    order_from_header,
    order_from_json,
)
from roost.model.steering import Wish

MAX_REPLAYS = 10
SOURCE_HEADERS = ("fly-replay-src", "roost-replay-src")
FAILED_HEADERS = ("fly-replay-failed", "roost-replay-failed")
UNAVAILABLE_HEADERS = ("fly-preferred-instance-unavailable", "roost-preferred-instance-unavailable")
_CACHE_HEADERS = ("fly-replay-cache", "fly-replay-cache-ttl-secs", "fly-replay-cache-allow-bypass")
OF_REPLAYS = ("fly-replay", "roost-replay", *_CACHE_HEADERS, "fly-replay-cache-status")  # of answers, not for clients
_FROM_ENVOY = (ORDER, ROUTE, ANSWERED, MARK, PRIVATE, PRIVATE_HOST)  # of requests, for the replay server alone
OF_THE_EDGE = ("roost-error", "roost-fault", "fly-error", AGAIN, ID)


TOO_MANY = refusal_of("too_many_replays")
TOO_LARGE = refusal_of("replay_too_large")


def invalid(error: BadInput) -> Refusal:
    """Return what to say of an order that can't be read."""
    message = f"The app asked for a replay that can't be done: {error.message}"
    return Refusal(502, "app", "replay_invalid", message, error.hint)


@dataclass(frozen=True, slots=True)
class Ordered:
    """A replay that a machine of `app` asked for."""

    order: ReplayOrder
    cache: CacheOrder | None = None


def read_order(kind: str, text: bytes, cache: tuple[str, str, str]) -> Ordered:
    """Read what an app asked for: `kind` is header, json or large. Raises BadInput."""
    if kind == "large":
        raise BadInput("it is longer than 16 KB")
    order = order_from_json(text) if kind == "json" else order_from_header(text.decode("utf-8", "replace"))
    prefix, ttl, bypass = cache
    if not prefix:
        return Ordered(order, order.cache)
    if not (ttl.isascii() and ttl.isdigit() and len(ttl) < 9):
        raise BadInput("fly-replay-cache-ttl-secs must be a whole number of seconds")
    return Ordered(order, cache_order(prefix, int(ttl), allow_bypass=bypass.lower() in ("yes", "true")))


def order_of_answer(answer: Fields, body: bytes | None) -> Ordered:
    """Read the replay that an answer asks for. Raises BadInput."""
    found = answer.get("fly-replay") or answer.get("roost-replay")
    cache = (answer.get(_CACHE_HEADERS[0]), answer.get(_CACHE_HEADERS[1]), answer.get(_CACHE_HEADERS[2]))
    if found:
        return read_order("header", found.encode("latin-1"), cache)
    return read_order("json", body or b"", cache)


def order_from_envoy(text: str) -> Ordered:
    """Read the order of a machine that the hook in Envoy kept. Raises BadInput."""
    pieces = text.split(":")
    if len(pieces) != 4 or pieces[0] != "s":
        raise BadInput("it was lost on the way")
    try:
        cache = base64.b64decode(pieces[2], validate=True).decode("latin-1").split("\n")
        order = base64.b64decode(pieces[3], validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("it was lost on the way") from None
    prefix, ttl, bypass = (*cache, "", "", "")[:3]
    return read_order(pieces[1], order, (prefix, ttl, bypass))


def answered_by(place: str) -> str:
    """Return the address of the machine that answered from `place`; "" when that is one of our own servers."""
    return "" if place.startswith("/") else place.rpartition(":")[0].strip("[]")


@dataclass(slots=True)
class Trip:
    """A request under way. `source` is the machine that asked for the latest replay, of the app `asker`."""

    app: str  # on whose host name the request came
    request: Fields  # as the client sent it
    began: float
    asker: str = ""
    source: str = ""
    source_region: str = ""
    order: ReplayOrder | None = None
    failed: str = ""  # what fly-replay-failed says
    replays: int = 0
    cache_status: str = ""
    machine: str = ""  # the latest that saw the request
    unavailable: str = ""  # the machine that was preferred and could not be had
    recorded: bytearray = field(default_factory=bytearray)  # of the body, as it came
    overflowed: bool = False

    def record(self, data: bytes) -> None:
        """Keep a piece of the body for a further replay, as long as it isn't too much."""
        if len(self.recorded) + len(data) > REPLAYABLE + 64 * 1024:  # chunked bodies bring their framing
            self.overflowed = True
        else:
            self.recorded += data

    def replay(self, order: ReplayOrder, *, asker: str, source: str, region: str) -> Refusal | None:
        """Take an app's order; a Refusal when there were too many, or it can't be carried out any more."""
        self.replays += 1
        if self.replays > MAX_REPLAYS:
            return TOO_MANY
        if self.overflowed:
            return TOO_LARGE
        self.order, self.asker, self.source, self.source_region = order, asker, source, region
        self.failed = ""
        return None

    @property
    def target_app(self) -> str:
        """The app that takes the request next."""
        return (self.order.app or self.asker) if self.order else self.app

    @property
    def target(self) -> Wish:
        """The wish on its machine."""
        order = self.order
        if order is not None:
            not_on = self.source if order.elsewhere else ""
            return Wish(order.instance, order.prefer_instance, order.regions, not_on)
        wished = self.request.get(STEER + "force-instance-id").lower()
        regions = tuple(w.strip().lower() for w in self.request.get(STEER + "force-region").split(",") if w.strip())
        return Wish(wished[:64], self.request.get(STEER + "prefer-instance-id").lower()[:64], regions)

    def fall_back(self, reason: str, now: float) -> Wish | None:
        """Return where the request goes back to when its target can't be had; None: nowhere.

        From here on it is a request to the app that asked for the replay, which is told what failed.
        """
        order = self.order
        if order is None or not order.fallback:
            return None
        elapsed = int((now - self.began) * 1000)
        region = ",".join(order.regions)
        instance = order.instance or order.prefer_instance
        self.failed = (
            f"instance={instance};app={order.app or self.asker};region={region};"
            f"replay_source={self.source};reason={reason};elapsed_ms={elapsed}"
        )
        self.order = ReplayOrder(app=self.asker, prefer_instance=self.source, state=order.state)
        return Wish(instance=self.source) if order.fallback == "force_self" else Wish(prefer=self.source)

    def outgoing(self, now: float) -> bytes:
        """Return the head to send to the next machine."""
        request, order = self.request, self.order
        if order is not None and order.transform.path and not self.failed:
            request = with_target(request, order.transform.path)
        head = request.copy()
        head.remove((*_FROM_ENVOY, *SOURCE_HEADERS, *FAILED_HEADERS, *UNAVAILABLE_HEADERS))
        head.lines = [(name, value) for name, value in head.lines if not name.startswith(STEER)]
        if order is not None and not self.failed:
            head.remove(order.transform.delete_headers)
            for name, value in order.transform.set_headers:
                head.set(name, value)
        if self.failed:
            for name in FAILED_HEADERS:
                head.set(name, self.failed)
        elif order is not None:
            told = f"instance={self.source};region={self.source_region};t={int(now * 1_000_000)}"
            for name in SOURCE_HEADERS:
                head.set(name, f"{told};state={order.state}" if order.state else told)
        if self.unavailable:
            for name in UNAVAILABLE_HEADERS:
                head.set(name, self.unavailable)
        return head.render()

    def final(self, answer: Fields) -> bytes:
        """Return the head of the answer that goes to the client."""
        head = answer.copy()
        head.remove((*OF_REPLAYS, *OF_THE_EDGE))
        if self.cache_status:
            head.set("fly-replay-cache-status", self.cache_status)
        return head.render()

    @property
    def method(self) -> str:
        """The request's method."""
        return request_line(self.request)[0]
