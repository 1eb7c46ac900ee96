"""What a host name needs in DNS, and what state its certificate is in (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote

from roost.model.app import App
from roost.model.certificate import WILDCARD, Attempt, Certificate, Issued, Seen, Status, Uploaded


@dataclass(frozen=True, slots=True)
class Requirements:
    """The DNS records to add: addresses or `cname` for the name itself, and the records that prove things."""

    a: tuple[str, ...]
    aaaa: tuple[str, ...]
    cname: str
    challenge_name: str
    challenge_target: str
    ownership_name: str
    app_value: str
    org_value: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that keeps a certificate from being active, and the cure."""

    code: str
    message: str
    remediation: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a certificate stands. `custom` and `fly` are the states of the two kinds, None without that kind."""

    status: Status
    configured: bool  # requests for the name come here
    challenge: bool
    ownership: bool
    custom: Status | None
    fly: Status | None
    troubles: tuple[Trouble, ...]
    rate_limited_until: float = 0.0  # 0: the authority does not limit us


def requirements(app: App, certificate: Certificate, domain: str) -> Requirements:
    """Return what must be in DNS. The addresses are those that the last check found; a CNAME needs none."""
    base, seen = certificate.base, certificate.seen or Seen()
    return Requirements(
        a=seen.target_a,
        aaaa=seen.target_aaaa,
        cname=f"{app.name}.{domain}",
        challenge_name=f"_acme-challenge.{base}",
        challenge_target=f"{base}.{app.id}.acme.{domain}",
        ownership_name=f"_fly-ownership.{base}",
        app_value=f"app-{app.id}",
        org_value=f"org-{app.org}",
    )


def to_serve(found: Sequence[Certificate], now: float) -> tuple[Certificate, Uploaded | Issued] | None:
    """Return what a client is shown of the host names that fit, the closest first.

    What was brought comes before what was issued, and what is valid before what has expired.
    """
    there: list[tuple[Certificate, Uploaded | Issued]] = []
    for each in found:
        there += [(each, one) for one in (each.custom, each.issued) if one is not None]
    return next((pair for pair in there if pair[1].expires_at > now), there[0] if there else None)


def try_now(attempt: Attempt | None) -> Attempt | None:
    """Return an attempt that may be made at once, as far as the authority's own limit allows."""
    return None if attempt is None else replace(attempt, next_at=0.0)


def verdict(certificate: Certificate, wanted: Requirements, now: float, *, possible: tuple[str, ...] = ()) -> Verdict:
    """Judge what the last check saw. `possible` are the ways in which the cloud can have names proven."""
    seen = certificate.seen or Seen()
    configured = _points_here(seen, wanted)
    challenge = bool(seen.challenge) and _same(seen.challenge, wanted.challenge_target)
    ownership = bool({wanted.app_value, wanted.org_value} & set(seen.ownership))
    proven = configured or challenge or ownership
    waiting = Status.PENDING_VALIDATION if proven else Status.PENDING_OWNERSHIP
    custom = certificate.custom
    expired = custom is not None and custom.expires_at <= now
    custom_status = None if custom is None else Status.ACTIVE if proven and not expired else waiting
    issued = certificate.issued is not None and certificate.issued.expires_at > now
    fly_status = Status.ACTIVE if issued else waiting
    return Verdict(
        status=Status.ACTIVE if custom_status is Status.ACTIVE or issued else waiting,
        configured=configured,
        challenge=challenge,
        ownership=ownership,
        custom=custom_status,
        fly=fly_status if certificate.acme_requested else None,
        troubles=tuple(_troubles(certificate, wanted, possible, now, configured=configured, expired=expired)),
        rate_limited_until=_limited_until(certificate, now),
    )


def _points_here(seen: Seen, wanted: Requirements) -> bool:
    """Say whether the name leads to the same place as the app's own name."""
    if any(_same(name, wanted.cname) for name in seen.cname):
        return True
    found, ours = {*seen.a, *seen.aaaa}, {*wanted.a, *wanted.aaaa}
    return bool(found) and found <= ours


def _limited_until(certificate: Certificate, now: float) -> float:
    until = certificate.attempt.rate_limited_until if certificate.attempt is not None else 0.0
    return until if until > now else 0.0


def _issuing_troubles(certificate: Certificate, possible: tuple[str, ...], now: float) -> list[Trouble]:
    name, attempt = quote(certificate.hostname), certificate.attempt
    renewing = certificate.issued is not None and certificate.issued.expires_at > now
    if not possible:
        return [
            Trouble(
                "issuing_not_available",
                "this cloud has no certificates issued: its operator has not agreed to the authority's terms",
                f"[acme] agree_terms = true in HOME/config.toml; or import your own: roost certs import {name}",
            )
        ]
    if attempt is not None and attempt.error == "rateLimited":
        return [Trouble("rate_limited", f"the authority limits us: {attempt.message}", "it is tried again after that")]
    if attempt is not None and attempt.error:
        cure = f"mend that, then: roost certs check {name}; it is tried again by itself {_in(attempt.next_at - now)}"
        if attempt.error == "noChallenge":
            cure = "set [acme] dns_hook in HOME/config.toml, the command that sets DNS records"
        elif attempt.error in _OPERATORS:
            cure = f"that is the cloud's operator's to mend; it is tried again by itself {_in(attempt.next_at - now)}"
        if attempt.next_at <= now and attempt.error != "noChallenge":
            cure = "it is being tried again now"
        what = "the renewal failed" if renewing else "no certificate was issued"
        return [Trouble(f"acme_{attempt.error}", f"{what}: {attempt.message}", cure)]
    return []


_OPERATORS = frozenset({"unreachable", "timeout", "protocol", "dnsHook", "key", "cloud", "internal"})


def _in(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"in {minutes} min" if minutes < 120 else f"in {round(minutes / 60)} h"


def _troubles(
    certificate: Certificate, wanted: Requirements, possible: tuple[str, ...], now: float,
    *, configured: bool, expired: bool,
) -> list[Trouble]:  # fmt: skip
    found = []
    if expired:
        found.append(
            Trouble("certificate_expired", "the certificate that was imported has expired", "import its successor")
        )
    if certificate.acme_requested:
        found += _issuing_troubles(certificate, possible, now)
    if not configured:
        found += _dns_troubles(certificate, wanted)
    return found


def _dns_troubles(certificate: Certificate, wanted: Requirements) -> list[Trouble]:
    seen, name = certificate.seen, certificate.hostname
    record = f"add: {name} CNAME {wanted.cname}"
    if seen is None:
        return [Trouble("not_checked", "DNS was not asked yet", f"roost certs check {quote(name)}")]
    if seen.failed:
        return [Trouble("dns_lookup_failed", f"DNS can't be asked: {seen.failed}", "try again later")]
    if not (wanted.a or wanted.aaaa):
        return [
            Trouble(
                "domain_has_no_address",
                f"{wanted.cname}, the app's own name, has no address in DNS, so no other name can lead to it",
                "give the cloud a domain whose names lead to this server: roost up --domain DOMAIN",
            )
        ]
    if not (seen.a or seen.aaaa or seen.cname):
        return [Trouble("dns_not_found", f"{name} has no address in DNS", record)]
    where = ", ".join([*seen.cname, *seen.a, *seen.aaaa][:4])
    return [Trouble("dns_points_elsewhere", f"{name} leads to {where}, not to this cloud", record)]


def _same(one: str, other: str) -> bool:
    return one.rstrip(".").lower() == other.rstrip(".").lower()


def queried(hostname: str) -> str:
    """Return the name to ask DNS for: for a wildcard, one that it covers."""
    return f"roost-check.{hostname.removeprefix(WILDCARD)}" if hostname.startswith(WILDCARD) else hostname
