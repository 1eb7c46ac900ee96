"""Limits on how often something may be asked for: `rate_limit` of a service. Pure.

A limit is a bucket: it holds `burst` requests and fills with `per_second` of them. An app has up to two, one for all
its requests and one for those of each client address.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roost.model.errors import BadInput

MIN_RATE, MAX_RATE = 0.01, 1_000_000  # requests per second
KEYS = ("per_second", "burst", "address_per_second", "address_burst")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of requests."""

    per_second: float
    burst: int

    @property
    def retry_after(self) -> int:
        """Whole seconds until there is room for one request again."""
        return max(1, math.ceil(1 / self.per_second))


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What an app takes: of all clients together, and of each client's address. None: no limit."""

    in_all: RateLimit | None = None
    by_address: RateLimit | None = None


NONE = RateLimits()


def read_rate(per_second: object, burst: object, where: str, prefix: str = "") -> RateLimit | None:
    """Read one bucket; None when no rate is given. Raises BadInput that names the key.

    `where` is the table's name, `prefix` stands before both keys. Without a burst it is two seconds' worth.
    """
    rate_key, burst_key = f"{where}.{prefix}per_second", f"{where}.{prefix}burst"
    if per_second is None:
        if burst is not None:
            needed = rate_key.rpartition(": ")[2]  # without the place in a file, which is there already
            raise BadInput(f"{burst_key} needs {needed}", hint=f"set {prefix}per_second too, or remove the key")
        return None
    if isinstance(per_second, bool) or not isinstance(per_second, int | float) or per_second != per_second:
        raise BadInput(f"{rate_key} must be a number of requests")
    if not MIN_RATE <= per_second <= MAX_RATE:
        raise BadInput(f"{rate_key} must be from {MIN_RATE:g} to {MAX_RATE}")
    if burst is None:
        burst = max(1, math.ceil(2 * per_second))
    if isinstance(burst, bool) or not isinstance(burst, int) or not 1 <= burst <= 2 * MAX_RATE:
        raise BadInput(f"{burst_key} must be a whole number from 1 to {2 * MAX_RATE}")
    return RateLimit(float(per_second), burst)


def read_rate_limits(take: Callable[[str], object], where: str) -> RateLimits:
    """Read a service's `rate_limit` table, whose keys `take` hands out; raises BadInput that names the key."""
    rate, burst, address_rate, address_burst = (take(key) for key in KEYS)
    return RateLimits(read_rate(rate, burst, where), read_rate(address_rate, address_burst, where, "address_"))


def rate_limits_to_json(limits: RateLimits) -> dict[str, Any]:
    """Return what `read_rate_limits` reads, as an entry `rate_limit`; {} when there is no limit."""
    found: dict[str, Any] = {}
    for prefix, limit in (("", limits.in_all), ("address_", limits.by_address)):
        if limit is not None:
            rate = int(limit.per_second) if limit.per_second.is_integer() else limit.per_second
            found |= {f"{prefix}per_second": rate, f"{prefix}burst": limit.burst}
    return {"rate_limit": found} if found else {}
