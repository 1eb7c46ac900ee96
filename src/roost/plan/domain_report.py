"""How the public certificates of the cloud's domain stand, said so that an operator knows what to do (pure)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from roost.model.certificate import Attempt, Certificate, Seen, Status
from roost.model.domain_name import DomainName
from roost.plan.certificates import Trouble, Verdict
from roost.plan.cloud_domain import Choice, Way

HERE = "the public address of this server"


class Standing(StrEnum):
    """In one word."""

    NONE = "none"  # no public certificate is asked for
    PENDING = "pending"
    ACTIVE = "active"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record to add."""

    name: str
    type: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that there is to say. Times are Unix seconds, 0: never."""

    domain: str
    way: Way
    standing: Standing
    summary: str
    names: tuple[DomainName, ...]
    records: tuple[Record, ...]
    troubles: tuple[Trouble, ...]
    used: int = 0  # new names within the week
    per_week: int = 0
    next_at: float = 0.0  # when the next is tried, of those that failed or have to wait


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether clients have to trust the cloud's own authority; `why` not, or not for long."""

    needed: bool
    why: str = ""


def report(
    domain: str, way: Way, why: str, names: Sequence[DomainName], now: float, *,
    chosen: Choice, per_week: int, address: str, ports: tuple[int, int], replaced: DomainName | None = None,
) -> Report:  # fmt: skip
    """Return the report. `address` is this server's own, `ports` are the edge's for HTTP and https.

    `replaced`: a wildcard that can't be had, for which there are names meanwhile.
    """
    if way is Way.NONE:
        cure = _cure_of_none(why)
        troubles = (Trouble("no_public_certificate", why, cure),) if cure else ()
        return Report(domain, way, Standing.NONE, f"by the cloud's own authority: {why}", (), (), troubles)
    valid = [each for each in names if each.issued is not None and each.issued.expires_at > now]
    failed = [each for each in names if each.attempt is not None and each.attempt.error]
    if failed or replaced is not None:
        standing = Standing.FAILING
    else:
        standing = Standing.ACTIVE if valid and len(valid) == len(names) else Standing.PENDING
    found = _troubles(domain, way, failed, chosen, now, address=address, ports=ports, per_week=per_week)
    if full := sorted(chosen.full & {each.org for each in names if each not in valid}):
        found.append(_full(full, per_week))
    if replaced is not None and replaced.attempt is not None:
        found.insert(0, _instead(replaced, replaced.attempt))
    waits = [each.attempt.next_at for each in failed if each.attempt is not None]
    limited = [each.attempt.rate_limited_until for each in names if each.attempt is not None]
    next_at = max(min(waits, default=0.0), chosen.doubt_until, chosen.free_at, *limited, 0.0)
    return Report(
        domain, way, standing, _summary(domain, way, valid, names, standing), tuple(names),
        tuple(records(domain, Way.WILDCARD if replaced else way, address)), tuple(found),
        chosen.used, per_week if way is Way.NAMES else 0,
        next_at if next_at > now else 0.0,
    )  # fmt: skip


def trust(told: Report, now: float) -> Trust:
    """Return whether clients have to trust the cloud's own authority, for names that have no other certificate."""
    if told.way is Way.NONE:
        return Trust(needed=True)
    if told.names and all(each.issued is not None and each.issued.expires_at > now for each in told.names):
        return Trust(False, f"nobody has to trust it: {told.domain} has public certificates, which browsers trust")
    until = f"only until {told.domain} has its public certificates"
    return Trust(True, f"needed {until}: `roost admin domain` says how far they are")


def own_verdict(certificate: Certificate, told: Report, now: float) -> Verdict:
    """Return where the certificate of an app's own name, in the cloud's domain, stands."""
    active = certificate.issued is not None and certificate.issued.expires_at > now
    status = Status.ACTIVE if active else Status.PENDING_VALIDATION
    limited = certificate.attempt.rate_limited_until if certificate.attempt is not None else 0.0
    troubles = told.troubles
    if told.way is Way.NONE:
        cure = "clients trust that with the file that `roost certs ca` prints"
        troubles = (Trouble("own_authority", f"its certificate is {told.summary}", cure), *troubles)
    return Verdict(
        status=status, configured=True, challenge=False, ownership=True, custom=None,
        fly=None if told.way is Way.NONE else status, troubles=() if active else troubles,
        rate_limited_until=limited if limited > now else 0.0,
    )  # fmt: skip


def _cure_of_none(why: str) -> str:
    if "terms" in why:
        return "roost down, then: roost up --email YOU@EXAMPLE.COM, by which you agree to them"
    if "port for https" in why:
        return "roost down, then: roost up --http-port 80 --https-port 443"
    return "set [acme] challenges in HOME/config.toml" if "challenges" in why else ""


def _summary(
    domain: str, way: Way, valid: Sequence[DomainName], names: Sequence[DomainName], standing: Standing
) -> str:
    issuers = ", ".join(sorted({each.issued.issuer for each in valid if each.issued is not None}))
    if way is Way.WILDCARD:
        if valid:
            return f"*.{domain}, by {issuers}"
        how = "is being asked for" if standing is Standing.PENDING else "could not be had yet"
        return f"*.{domain} {how}; the cloud's own authority serves"
    if not names:
        return "each app's name gets one when the app is there"
    if not valid:
        return f"none of {len(names)} names yet; the cloud's own authority serves"
    told = f"{len(valid)} of {len(names)} names, by {issuers}"
    return told if len(valid) == len(names) else f"{told}; for the others the cloud's own authority serves"


def records(domain: str, way: Way, address: str) -> list[Record]:
    """Return the DNS records that a domain needs. `address` is this server's own."""
    here = _public(address) or HERE
    found = [Record(f"*.{domain}.", "A", here, "leads apps' names here")]
    if way is Way.WILDCARD:
        why = "set and removed by [acme] dns_hook; or a CNAME to a name that it can change"
        found.append(Record(f"_acme-challenge.{domain}.", "TXT", "(by the command)", why))
    return found


def _public(address: str) -> str:
    """Return this server's own address if others can reach it by that, else ""."""
    try:
        return address if ipaddress.ip_address(address).is_global else ""
    except ValueError:
        return ""


def _troubles(
    domain: str, way: Way, failed: Sequence[DomainName], chosen: Choice, now: float, *,
    address: str, ports: tuple[int, int], per_week: int,
) -> list[Trouble]:  # fmt: skip
    found: list[Trouble] = []
    if failed:
        latest = max(failed, key=lambda each: (each.attempt or Attempt()).failed_at)
        attempt = latest.attempt or Attempt()
        if attempt.error == "rateLimited":
            cure = "it is tried again after that" + ("; one wildcard needs [acme] dns_hook" if way is Way.NAMES else "")
            found.append(Trouble("rate_limited", f"the authority limits us: {attempt.message}", cure))
        else:
            found.append(Trouble(f"acme_{attempt.error}", f"{latest.hostname}: {attempt.message}", _cure(attempt)))
        if way is Way.NAMES and attempt.error != "rateLimited":
            found += _reaching(domain, latest.seen, address, ports)
    if way is Way.NAMES and chosen.free_at > now:
        found.append(
            Trouble(
                "names_per_week",
                f"{chosen.used} new names within a week, and [acme] names_per_week is {per_week}",
                "the others follow in turn; one wildcard for all needs [acme] dns_hook",
            )
        )
    return found


def _instead(wildcard: DomainName, attempt: Attempt) -> Trouble:
    """Return that names are asked for one by one, since the wildcard can't be had."""
    told = f"{wildcard.hostname}: {attempt.message}; meanwhile each app's name gets a certificate of its own"
    return Trouble(f"acme_{attempt.error}", told, _cure(attempt))


def _cure(attempt: Attempt) -> str:
    what = "the command of [acme] dns_hook" if attempt.error == "dnsHook" else "that"
    return f"mend {what}, then: roost admin domain --check"


def _full(orgs: Sequence[str], per_week: int) -> Trouble:
    """Return that orgs have had what the others leave them of a week's new names."""
    shown = ", ".join(orgs[:10]) + (" and others" if len(orgs) > 10 else "")
    return Trouble(
        "names_of_org",
        f"{shown}: no more new names this week, for [acme] names_per_week ({per_week}) is for other orgs too",
        "the others follow in turn; one wildcard for all needs [acme] dns_hook",
    )


def _reaching(domain: str, seen: Seen | None, address: str, ports: tuple[int, int]) -> list[Trouble]:
    """Return why the authority may not reach the edge."""
    found: list[Trouble] = []
    address = _public(address)
    record = f"add: *.{domain}. A {address or HERE}"
    if seen is not None and seen.failed:
        found.append(Trouble("dns_lookup_failed", f"DNS can't be asked: {seen.failed}", "try again later"))
    elif seen is not None and not (seen.a or seen.aaaa):
        found.append(Trouble("dns_not_found", f"names below {domain} have no address in DNS", record))
    elif seen is not None and address and address not in seen.a:
        where = ", ".join([*seen.cname, *seen.a, *seen.aaaa][:4])
        found.append(
            Trouble(
                "dns_points_elsewhere", f"names below {domain} lead to {where}", f"if that is not this server, {record}"
            )
        )
    if ports[0] != 80 and ports[1] != 443:
        found.append(
            Trouble(
                "ports",
                f"the authority calls the ports 80 and 443, and the edge has {ports[0]} and {ports[1]}",
                "lead them here, or: roost down, then roost up --http-port 80 --https-port 443",
            )
        )
    return found
