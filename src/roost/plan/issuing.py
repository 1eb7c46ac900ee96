"""When a certificate is issued, renewed or tried again, and how its name is proven (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from roost.model.certificate import WILDCARD, Attempt, Certificate

HTTP = "http-01"
ALPN = "tls-alpn-01"
DNS = "dns-01"
CHALLENGES = (HTTP, ALPN, DNS)
RENEW_AFTER = 2 / 3  # of a certificate's life
JITTER = 0.05  # of its life: names that were added together are not renewed together
FIRST_PAUSE = 120.0  # seconds after a failure; doubles
LONGEST_PAUSE = 12 * 3600.0
_OF_ONE_WAY = frozenset({"connection", "tls", "unauthorized", "incorrectResponse", "challengeNotOffered"})
RATE_LIMIT_PAUSE = 3600.0  # when the authority does not say how long


def possible_ways(challenges: Sequence[str], *, https: bool, dns: bool) -> tuple[str, ...]:
    """Return the ways in which names can be proven, in the order of `challenges`."""
    able = {HTTP: True, ALPN: https, DNS: dns}
    return tuple(way for way in challenges if able[way])


def spread(name: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def renewal(name: str, begins_at: float, expires_at: float) -> float:
    """Return when to renew a certificate."""
    life = expires_at - begins_at
    return begins_at + life * (RENEW_AFTER - JITTER * spread(name))


def due_at(certificate: Certificate) -> float:
    """Return from when on an order for a certificate may be made or gone on with."""
    attempt = certificate.attempt or Attempt()
    renew_at = certificate.issued.renew_at if certificate.issued is not None and not attempt.order else 0.0
    return max(renew_at, attempt.next_at, attempt.rate_limited_until)


def asks_at(certificate: Certificate) -> float | None:
    """Return when to ask the authority about the renewal; None while there is nothing to ask about."""
    return None if certificate.issued is None else certificate.issued.ask_at


def after_failure(
    name: str, attempt: Attempt, now: float, *,
    error: str, message: str, retry_after: float | None = None, ways: int = 1,
) -> Attempt:  # fmt: skip
    """Return the attempt after an order has failed; `retry_after` in seconds when the authority limits us.

    While some of the `ways` to prove the name have not been tried, the next one is at once, if the authority looked and
    found no proof, as behind a proxy.
    """
    failures = attempt.failures + 1
    if error in _OF_ONE_WAY and failures < ways:
        return replace(
            attempt, order="", challenge="", failures=failures, next_at=now, error=error, message=message[:500],
            rate_limited_until=0.0, failed_at=now,
        )  # fmt: skip
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 20)) * (1 + 0.2 * spread(f"{name}{failures}"))
    limited = now + max(retry_after, 1.0) if retry_after is not None else 0.0
    return replace(
        attempt, order="", challenge="", failures=failures, next_at=now + pause, error=error, message=message[:500],
        rate_limited_until=limited, failed_at=now,
    )  # fmt: skip


def ways_for(certificate: Certificate, possible: tuple[str, ...]) -> list[str]:
    """Return the ways of the possible ones in which a name can be proven."""
    return [way for way in possible if way == DNS or not certificate.hostname.startswith(WILDCARD)]


def challenge_for(certificate: Certificate, possible: tuple[str, ...]) -> str:
    """Return how to prove a name this time, "" when there is no way: another way after each failure."""
    ways = ways_for(certificate, possible)
    failures = certificate.attempt.failures if certificate.attempt is not None else 0
    return ways[failures % len(ways)] if ways else ""
