"""The public certificate of the cloud's own domain: whether it can have one, how, and what to ask for now (pure).

One wildcard where DNS records can be set; else one certificate for each app's name. Each has one name only, so that a
name that the authority refuses holds up no other, and a new app changes no certificate that serves.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from roost.model.acme import AcmeSettings
from roost.model.certificate import WILDCARD, Attempt
from roost.model.cloud import Cloud
from roost.model.domain_name import DomainName
from roost.plan.issuing import DNS, FIRST_PAUSE, due_at, possible_ways

WEEK = 7 * 86_400.0
GIVE_UP = 4  # failures of the wildcard, some quarter of an hour, after which names are asked for
ENDS_SOON = 3 * 86_400.0  # seconds that a wildcard still lasts when its renewal is not waited for any longer
LONGEST_DOUBT = 3600.0  # seconds between two names while none succeeds
# Names that nobody can have (RFC 2606, 6761, 6762, 7686, 8375, 9476), and those that ICANN keeps for private use.
_NOBODYS = {
    "localhost", "local", "localdomain", "test", "invalid", "example", "internal", "onion", "alt", "arpa", "home",
    "corp", "lan", "mail", "intranet", "private",
}  # fmt: skip


class Way(StrEnum):
    """How the names of the cloud's domain have public certificates."""

    NONE = "none"
    WILDCARD = "wildcard"  # one for all, by DNS-01
    NAMES = "names"  # one for each app


def why_not_public(domain: str) -> str:
    """Return why no public authority has a certificate for the names below a domain, "" if one may."""
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        pass
    else:
        return f"{domain} is an address, and public certificates are for names"
    last = domain.rpartition(".")[2]
    if last in _NOBODYS:
        return f"names that end in .{last} are nobody's, so there are no public certificates for them"
    if "." not in domain:
        return f"{domain} is no domain that can be had"
    return f"{domain} is an address, and public certificates are for names" if last.isdecimal() else ""


def way_of(
    domain: str, possible: Sequence[str], *, agrees: bool, https: bool, wanted: bool | None = None
) -> tuple[Way, str]:
    """Return how its names have certificates, and why not if they have none.

    `possible` are the ways in which names can be proven, `wanted` what the operator says, None for nothing.
    """
    why = why_not_public(domain)
    if wanted is False:
        return Way.NONE, "[acme] own_domain is false"
    if why and not wanted:
        return Way.NONE, why
    if not https:
        return Way.NONE, "the edge has no port for https"
    if not agrees:
        return Way.NONE, "nobody has agreed to the authority's terms"
    if DNS in possible and "." in domain:
        return Way.WILDCARD, ""
    return (Way.NAMES, "") if set(possible) - {DNS} else (Way.NONE, "[acme] challenges leaves no way to prove names")


def way_of_domain(cloud: Cloud, acme: AcmeSettings) -> tuple[Way, str]:
    """Return how the cloud's domain has public certificates, and why not if it has none."""
    https = bool(cloud.https_port)
    return way_of(
        cloud.domain, ways_to_prove(cloud, acme), agrees=bool(acme.agrees), https=https, wanted=acme.own_domain
    )


def way_now(way: Way, wildcard: DomainName | None, possible: Sequence[str], now: float) -> Way:
    """Return how names have certificates now: one by one while the wildcard can't be had, if there is a way.

    It can't when it has failed again and again, and what there is ends soon. A limit of the authority's is waited out.
    """
    if way is not Way.WILDCARD or not set(possible) - {DNS} or wildcard is None or wildcard.attempt is None:
        return way
    lasts = wildcard.issued is not None and wildcard.issued.expires_at > now + ENDS_SOON
    fails = wildcard.attempt.failures >= GIVE_UP and wildcard.attempt.error != "rateLimited"
    return Way.NAMES if fails and not lasts else way


def ways_to_prove(cloud: Cloud, acme: AcmeSettings) -> tuple[str, ...]:
    """Return the ways in which this cloud can prove names."""
    return possible_ways(acme.challenges, https=bool(cloud.https_port), dns=bool(acme.dns_hook))


def shares_certificate(domain: str, way: Way, found: Sequence[DomainName], now: float) -> bool:
    """Say whether the edge shows all names of the domain one certificate, rather than looking each up.

    Where names have had certificates of their own, they go on having them until the wildcard is there: it never gets
    worse on the way.
    """
    below = [each for each in found if each.hostname.endswith(f".{domain}")]
    valid = {each.hostname for each in below if each.issued is not None and each.issued.expires_at > now}
    if way is Way.NAMES:
        return False
    return not valid or f"{WILDCARD}{domain}" in valid


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do now, and what has to wait."""

    renew: tuple[DomainName, ...] = ()  # also those whose order is under way
    begin: tuple[str, ...] = ()  # host names that have had none
    used: int = 0  # new names within the week
    full: frozenset[str] = frozenset()  # orgs that had their part, and have names that wait
    free_at: float = 0.0  # when the next new name may be asked for; 0: now
    doubt_until: float = 0.0  # the authority is asked for one name at a time, next at this time; 0: no doubt


def choose(
    found: Sequence[DomainName], newcomers: Sequence[tuple[str, str]], now: float, *,
    per_week: int, orgs: Collection[str] = (), busy: Collection[str] = (),
) -> Choice:  # fmt: skip
    """Return what to ask the authority for.

    `found` are the names there are, also those of apps that are gone; `newcomers` host names without a row and their
    orgs, the preferred first; `orgs` those that have apps; `busy` the names being worked on. At most `per_week` new
    names, of which those that nobody has called take half at most, and each org has its part (`_has_room`). While no
    name succeeds they are tried one by one, with pauses: what is wrong is likely wrong for all.
    """
    taken = _used(found, now, busy)
    used = taken.total()
    if any(each.attempt is not None and each.attempt.rate_limited_until > now for each in found):
        return Choice(used=used)
    ready = [
        each for each in found if each.exists and each.hostname not in busy and due_at(each.as_certificate()) <= now
    ]
    known = [each for each in ready if each.first_issued_at or (each.attempt is not None and each.attempt.order)]
    fresh = [each for each in ready if each not in known]
    fresh.sort(key=lambda each: (not each.called_at, each.called_at, -each.created_at))
    called = [(each.hostname, each.org) for each in fresh if each.called_at]
    others = [*((each.hostname, each.org) for each in fresh if not each.called_at), *newcomers]
    begin, full = _by_parts(called, taken, per_week, orgs)
    begin += _by_parts(others, taken, per_week // 2, orgs)[0]
    free_at = _free_at(found, now) if used >= per_week else 0.0
    full = frozenset() if free_at else full  # then all wait
    doubt_until = _doubt_until(found)
    if doubt_until is None:
        return Choice(tuple(known), tuple(begin), used, full, free_at)
    if busy or doubt_until > now:
        return Choice(used=used, free_at=free_at, doubt_until=doubt_until)
    known.sort(key=_failures)
    failures = {each.hostname: _failures(each) for each in fresh}
    begin.sort(key=lambda name: failures.get(name, 0))
    return Choice(tuple(known[:1]), tuple(begin[:1]) if not known else (), used, full, free_at, doubt_until)


def _by_parts(
    wanted: Sequence[tuple[str, str]], taken: Counter[str], bound: int, orgs: Collection[str]
) -> tuple[list[str], frozenset[str]]:
    """Return the names that there is room for, adding them to what their orgs have `taken`; and orgs without room."""
    begin, full = [], set()
    for host, org in wanted:
        if _has_room(org, taken, bound, orgs):
            taken[org] += 1
            begin.append(host)
        else:
            full.add(org)
    return begin, frozenset(full)


def _has_room(org: str, taken: Counter[str], bound: int, orgs: Collection[str]) -> bool:
    """Tell whether an org may have one more of `bound` names.

    Half of them are for who comes first, the others in equal parts for all orgs that have apps. So an org that takes
    all it can leaves each other its part, and one that is alone has them all.
    """
    total = taken.total()
    if total >= bound:
        return False
    part = max(1, bound // 2 // max(1, len(orgs)))
    kept = sum(max(0, part - taken[other]) for other in orgs if other != org)
    return taken[org] < part or total + min(kept, bound // 2) < bound


def _failures(name: DomainName) -> int:
    return name.attempt.failures if name.attempt is not None else 0


def _used(found: Sequence[DomainName], now: float, busy: Collection[str]) -> Counter[str]:
    """Return how many new names of each org were issued within a week, or are being asked for."""

    def under_way(name: DomainName) -> bool:
        return not name.first_issued_at and (name.hostname in busy or bool((name.attempt or Attempt()).order))

    return Counter(each.org for each in found if each.first_issued_at > now - WEEK or under_way(each))


def _free_at(found: Sequence[DomainName], now: float) -> float:
    return min((each.first_issued_at for each in found if each.first_issued_at > now - WEEK), default=now) + WEEK


def _doubt_until(found: Sequence[DomainName]) -> float | None:
    """Return until when to wait after failures of any name; None when the latest to end was a success."""
    success = max((each.issued.created_at for each in found if each.issued is not None), default=0.0)
    attempts = [each.attempt for each in found if each.exists and each.attempt is not None]
    failed = [attempt for attempt in attempts if attempt.failed_at > success]
    if not failed:
        return None if success else 0.0
    count = sum(attempt.failures for attempt in failed)
    latest = max(attempt.failed_at for attempt in failed)
    return latest + min(LONGEST_DOUBT, FIRST_PAUSE * float(2 ** min(count - 1, 20)))
