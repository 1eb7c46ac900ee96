"""How fast an app answers and what goes wrong, over the last minute, five minutes and hour, in bounded memory. Pure.

A duration is counted in a bucket whose bounds grow by a factor (as in DDSketch), so a percentile is off by 5 % at
most whatever the durations are. Time is cut into slots of 10 s; those older than a minute are merged to slots of a
minute, those older than five to slots of five, and after an hour they are dropped: 26 slots at most. So a window covers
up to a slot more than it says, and its rate is by what it covers. Times are passed in and may jump: a clock that goes
back merges into the newest slot.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from roost.model.request import PARTS, Request

WINDOWS = (60, 300, 3600)  # seconds
QUANTILES = (50, 90, 99)
MAX_APPS = 4096  # with traffic in the last hour; beyond that those that were quiet the longest are forgotten
_LEVELS = ((10, 60), (60, 300), (300, 3600))  # seconds: width of a slot, age at which it moves on
_FACTOR = 1.1
_LOG = math.log(_FACTOR)
_FLOOR = 0.01  # milliseconds: what is shorter counts as 0
_TOP = 255  # the last bucket, beyond every duration of a day
_PART = 256  # buckets of a part
K = TypeVar("K")


@dataclass(slots=True)
class _Slot:
    start: float
    requests: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)  # by the first digit
    errors: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)  # of the latest error of a class

    def add(self, request: Request) -> None:
        count = request.alike
        self.requests += count
        digit = request.status // 100
        self.statuses[digit] = self.statuses.get(digit, 0) + count
        if request.error:
            self.errors[request.error] = self.errors.get(request.error, 0) + count
            if request.detail:
                self.details[request.error] = request.detail
        durations = (request.queue, request.wake, request.connect, request.app, request.total)
        for part, value in enumerate(durations):
            key = part * _PART + bucket_of(value)
            self.buckets[key] = self.buckets.get(key, 0) + count

    def merge(self, other: _Slot) -> None:
        self.requests += other.requests
        _merge(self.buckets, other.buckets)
        _merge(self.statuses, other.statuses)
        _merge(self.errors, other.errors)
        self.details |= other.details


def _merge(into: dict[K, int], more: Mapping[K, int]) -> None:
    for key, count in more.items():
        into[key] = into.get(key, 0) + count


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in the latest `seconds`. Latencies are milliseconds: part -> percentile -> value."""

    seconds: int
    requests: int
    rate: float  # requests per second
    statuses: Mapping[str, int]  # "2xx" -> count; "none" for clients that went away before an answer
    errors: Mapping[str, int]  # by class
    details: Mapping[str, str]  # what more is known of the latest of a class
    latency: Mapping[str, Mapping[int, float]]


class AppStats:
    """One app's slots, newest last, in three levels; and counts since the first request, for scrapers."""

    def __init__(self) -> None:
        self._levels: tuple[list[_Slot], ...] = ([], [], [])
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def add(self, request: Request, now: float) -> None:
        """Count a request that ended at `now`, and those that it stands for."""
        newest = self._levels[0]
        if not newest or now >= newest[-1].start + _LEVELS[0][0]:
            self._age(now)
            newest.append(_Slot(now // _LEVELS[0][0] * _LEVELS[0][0]))
        newest[-1].add(request)
        self.statuses[_class(request.status // 100)] += request.alike
        if request.error:
            self.errors[request.error] += request.alike

    def windows(self, now: float) -> tuple[Window, ...]:
        """Return the three windows that end at `now`."""
        self._age(now)
        total, found, latest = _Slot(now), [], dict[str, str]()
        for seconds, level in zip(WINDOWS, self._levels, strict=True):
            for slot in level:
                total.merge(slot)
            latest = {code: detail for slot in level for code, detail in slot.details.items()} | latest
            total.details = dict(latest)
            total.start = min(total.start, level[0].start) if level else total.start
            found.append(_window(seconds, total, max(seconds, now - total.start)))
        return tuple(found)

    @property
    def empty(self) -> bool:
        """True when nothing came in the last hour, as of the latest `windows`."""
        return not any(self._levels)

    def _age(self, now: float) -> None:
        for number, (width, most) in enumerate(_LEVELS):
            level = self._levels[number]
            while level and level[0].start + width <= now - most:
                old = level.pop(0)
                if number + 1 < len(_LEVELS):
                    _move(old, self._levels[number + 1], _LEVELS[number + 1][0])


def _move(slot: _Slot, level: list[_Slot], width: int) -> None:
    start = slot.start // width * width
    if level and level[-1].start >= start:
        level[-1].merge(slot)
    else:
        slot.start = start
        level.append(slot)


def _window(seconds: int, total: _Slot, covered: float) -> Window:
    return Window(
        seconds,
        total.requests,
        round(total.requests / covered, 3),
        {_class(digit): count for digit, count in sorted(total.statuses.items())},
        dict(sorted(total.errors.items())),
        dict(total.details),
        {part: _percentiles(total.buckets, number) for number, part in enumerate(PARTS)},
    )


def _class(digit: int) -> str:
    return f"{digit}xx" if digit else "none"


def _percentiles(buckets: Mapping[int, int], part: int) -> dict[int, float]:
    mine = sorted((key % _PART, count) for key, count in buckets.items() if key // _PART == part)
    total = sum(count for _, count in mine)
    found, seen = {}, 0
    wanted = list(QUANTILES)
    for bucket, count in mine:
        seen += count
        while wanted and seen * 100 >= wanted[0] * total:
            found[wanted.pop(0)] = value_of(bucket)
    return found


def bucket_of(milliseconds: float) -> int:
    """Return the bucket of a duration."""
    if milliseconds <= _FLOOR:
        return 0
    return min(_TOP, 1 + int(math.log(milliseconds / _FLOOR) / _LOG))


def value_of(bucket: int) -> float:
    """Return the milliseconds that a bucket stands for: its middle, so that it is off by 5 % at most."""
    return round(_FLOOR * _FACTOR ** (bucket - 0.5), 3) if bucket else 0.0


class StatsBook:
    """The stats of all apps. Not for several threads at once."""

    def __init__(self, max_apps: int = MAX_APPS) -> None:
        self._apps: OrderedDict[str, AppStats] = OrderedDict()
        self._max = max_apps

    def add(self, app: str, request: Request, now: float) -> None:
        """Count a request."""
        stats = self._apps.get(app)
        if stats is None:
            stats = self._apps[app] = AppStats()
            if len(self._apps) > self._max:
                self._apps.popitem(last=False)
        else:
            self._apps.move_to_end(app)
        stats.add(request, now)

    def windows(self, app: str, now: float) -> tuple[Window, ...]:
        """Return an app's windows, also when it had no request."""
        return (self._apps.get(app) or AppStats()).windows(now)

    def forget(self, app: str) -> None:
        """Drop an app's counts."""
        self._apps.pop(app, None)

    def all(self) -> Iterable[tuple[str, AppStats]]:
        """Return the apps that have counts, by name."""
        return sorted(self._apps.items())
