"""A report on the cloud's domain, by the real rules, of three names: one issued, one that failed, one that waits."""

from __future__ import annotations

from roost.model.certificate import Attempt, Issued, KeyKind, Seen
from roost.model.domain_name import DomainName
from roost.plan.cloud_domain import Way, choose
from roost.plan.domain_report import Report
from roost.plan.domain_report import report as told

NOW = 1_700_000_000.5
DOMAIN = "apps.example.com"
ISSUED = Issued("PEM", KeyKind.ECDSA, "Example CA", NOW - 9, NOW + 90 * 86_400, NOW - 9, NOW + 60 * 86_400, NOW + 9)
FAILED = Attempt(failures=2, next_at=NOW + 240, error="dns", message="no A record", failed_at=NOW - 1)
NAMES = (
    DomainName(f"good.{DOMAIN}", "good", NOW - 9, NOW - 9, NOW - 9, ISSUED),
    DomainName(f"bad.{DOMAIN}", "bad", NOW - 9, attempt=FAILED, seen=Seen(a=("192.0.2.1",)), checked_at=NOW),
    DomainName(f"new.{DOMAIN}", "new", NOW - 1),
)


def report() -> Report:
    chosen = choose(NAMES, [], NOW, per_week=40)
    return told(DOMAIN, Way.NAMES, "", NAMES, NOW, chosen=chosen, per_week=40, address="9.9.9.9", ports=(8080, 8443))
