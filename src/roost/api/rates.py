"""How often a client may call: so many times a second for each action on each machine or app.

State: a bucket per action and subject, in memory, bounded; a restart forgets them. Off unless the operator
asks for it: on a server of one's own the limits of a shared cloud only slow one down.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import Request

from roost.model.errors import RateLimited

GET_MACHINE = "/v1/apps/{app}/machines/{machine_id}"
APP = "/v1/apps/{app}"
MANY = 10_000  # buckets; one that was not used for long is full again, and may go
_SAFE_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls a second in the long run, so many at once."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class RateSettings:
    """The limits of the Fly Machines API (reference, section 1.1), when they are `enabled`."""

    enabled: bool = False
    action: Rate = Rate(1.0, 3.0)  # a changing call, per action and machine or app
    get: Rate = Rate(5.0, 10.0)  # Get Machine, per machine
    delete_app: Rate = Rate(100 / 60, 100.0)  # of all apps together


class Rates:
    """Counts calls. Used on the event loop only."""

    def __init__(self, settings: RateSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()  # (calls left, at)

    def check(self, request: Request) -> None:
        """Count one call; raises RateLimited."""
        if not self._settings.enabled:
            return
        template = str(getattr(request.scope.get("route"), "path_format", ""))
        found = self._limit_of(request.method, template, request.path_params)
        if found is not None:
            self.count(*found, time.monotonic())

    def _limit_of(self, method: str, template: str, params: dict[str, str]) -> tuple[tuple[str, ...], Rate] | None:
        subject = params.get("machine_id") or params.get("app") or ""
        if method == "DELETE" and template == APP:
            return (method, template), self._settings.delete_app
        if method in _SAFE_METHODS:
            return ((method, template, subject), self._settings.get) if template == GET_MACHINE else None
        return ((method, template, subject), self._settings.action) if subject else None

    def count(self, key: tuple[str, ...], rate: Rate, now: float) -> None:
        """Take one call out of a bucket; raises RateLimited when it is empty."""
        left, at = self._buckets.pop(key, (rate.burst, now))
        left = min(rate.burst, left + (now - at) * rate.per_second)
        self._buckets[key] = (left - 1.0 if left >= 1.0 else left, now)
        while len(self._buckets) > MANY:
            self._buckets.popitem(last=False)
        if left < 1.0:
            raise RateLimited(
                f"too many calls: {rate.per_second:.3g} a second are allowed, {rate.burst:.3g} at once",
                hint="send it again a little later",
                retry_after=max(1, math.ceil((1.0 - left) / rate.per_second)),
            )
