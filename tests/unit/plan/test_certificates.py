"""What DNS must have for a host name, and what state its certificate is in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost.model.app import App
from roost.model.certificate import Attempt, Certificate, Issued, KeyKind, Seen, Status, Uploaded, check_hostname
from roost.model.errors import BadInput
from roost.plan.certificates import Verdict, queried, requirements, verdict

APP = App("a1b2", "shop", "acme", "n", 1, 0, 1.0)
NOW = 1_700_000_000.0
ASKED = Certificate("shop", "www.shop.example", True, None, None, 0.0, NOW, NOW)
BROUGHT = replace(ASKED, acme_requested=False, custom=Uploaded("pem", KeyKind.ECDSA, "CA", NOW + 10, NOW))
OURS = Seen(target_a=("192.0.2.7", "192.0.2.8"), target_aaaa=("2001:db8::7",))


def judge(certificate: Certificate, seen: Seen | None, now: float = NOW) -> Verdict:
    certificate = replace(certificate, seen=seen)
    return verdict(certificate, requirements(APP, certificate, "cloud.example"), now)


def codes(judged: Verdict) -> list[str]:
    return [trouble.code for trouble in judged.troubles]


def test_the_records_to_add() -> None:
    wanted = requirements(APP, replace(ASKED, hostname="*.shop.example", seen=OURS), "cloud.example")
    assert (wanted.a, wanted.aaaa, wanted.cname) == (OURS.target_a, OURS.target_aaaa, "shop.cloud.example")
    assert (wanted.ownership_name, wanted.app_value, wanted.org_value) == (
        "_fly-ownership.shop.example", "app-a1b2", "org-acme",
    )  # fmt: skip
    assert wanted.challenge_name == "_acme-challenge.shop.example"
    assert "*" not in wanted.challenge_target


@pytest.mark.parametrize(
    "seen",
    [
        replace(OURS, cname=("shop.cloud.example",)),
        replace(OURS, cname=("Shop.Cloud.Example.",)),
        replace(OURS, a=("192.0.2.8",)),
        replace(OURS, a=OURS.target_a, aaaa=OURS.target_aaaa),
    ],
)
def test_a_name_that_leads_here_is_proven(seen: Seen) -> None:
    asked, brought = judge(ASKED, seen), judge(BROUGHT, seen)
    assert (asked.configured, asked.status, asked.fly) == (True, Status.PENDING_VALIDATION, Status.PENDING_VALIDATION)
    assert codes(asked) == ["issuing_not_available"]
    assert (brought.status, brought.custom, brought.fly, brought.troubles) == (Status.ACTIVE, Status.ACTIVE, None, ())


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (None, "not_checked"),
        (replace(OURS, failed="no resolver answered in time"), "dns_lookup_failed"),
        (Seen(a=("192.0.2.7",)), "domain_has_no_address"),
        (OURS, "dns_not_found"),
        (replace(OURS, a=("192.0.2.7", "203.0.113.9")), "dns_points_elsewhere"),
        (replace(OURS, cname=("shop.cloud.example.evil",)), "dns_points_elsewhere"),
    ],
)
def test_a_name_that_does_not_is_not(seen: Seen | None, code: str) -> None:
    judged = judge(BROUGHT, seen)
    assert (judged.configured, judged.status, judged.custom) == (
        False, Status.PENDING_OWNERSHIP, Status.PENDING_OWNERSHIP,
    )  # fmt: skip
    assert codes(judged) == [code]
    assert all(trouble.message and trouble.remediation for trouble in judged.troubles)


@pytest.mark.parametrize("value", ["app-a1b2", "org-acme"])
def test_a_record_proves_a_name_that_still_leads_elsewhere(value: str) -> None:
    judged = judge(BROUGHT, replace(OURS, a=("203.0.113.9",), ownership=("other", value)))
    assert (judged.ownership, judged.configured, judged.status) == (True, False, Status.ACTIVE)
    assert not judge(BROUGHT, replace(OURS, ownership=("app-someone",))).ownership


def test_the_name_for_challenges_proves_too() -> None:
    judged = judge(ASKED, replace(OURS, challenge="www.shop.example.a1b2.acme.cloud.example."))
    assert (judged.challenge, judged.status) == (True, Status.PENDING_VALIDATION)


def test_an_expired_certificate_is_not_active() -> None:
    judged = judge(BROUGHT, replace(OURS, a=("192.0.2.7",)), now=NOW + 11)
    assert (judged.status, codes(judged)) == (Status.PENDING_VALIDATION, ["certificate_expired"])


def test_a_wildcard_is_asked_for_by_a_name_it_covers() -> None:
    assert queried("*.shop.example") == "roost-check.shop.example"
    assert queried("shop.example") == "shop.example"


@pytest.mark.parametrize("name", ["shop.example", "*.shop.example", "a.b.c.d", "xn--bcher-kva.example", "1.example"])
def test_host_names(name: str) -> None:
    assert check_hostname(name) == check_hostname(name.upper()) == check_hostname(f"{name}.") == name


@pytest.mark.parametrize(
    "name",
    ["", "shop", ".", "*.", "*", "a..b", "-a.example", "a_b.example", "a.*.example", "*.*.example", "192.0.2.1",
     "bücher.example", "a.example/x", "a.example:443", "a b.example", f"{'a' * 64}.example", "a." * 127 + "aa"],
)  # fmt: skip
def test_what_is_no_host_name(name: str) -> None:
    with pytest.raises(BadInput, match="hostname"):
        check_hostname(name)


ISSUED = Issued("pem", KeyKind.ECDSA, "An authority", NOW - 1, NOW + 1000, NOW - 1, NOW + 600, NOW + 100)


def test_an_issued_certificate_is_active_wherever_the_name_leads() -> None:
    issued = replace(ASKED, issued=ISSUED)
    judged = judge(issued, Seen())
    assert (judged.status, judged.fly) == (Status.ACTIVE, Status.ACTIVE)
    expired = judge(replace(issued, issued=replace(ISSUED, expires_at=NOW - 1)), Seen())
    assert expired.fly is not Status.ACTIVE


def test_what_the_authority_said_is_said_with_a_cure() -> None:
    wanted = requirements(APP, ASKED, "roost.test")
    refused = replace(ASKED, attempt=Attempt(error="dns", message="no such name", failures=1, next_at=NOW + 130))
    found = verdict(refused, wanted, NOW, possible=("http-01",)).troubles[0]
    assert found.code == "acme_dns" and "no such name" in found.message
    assert "roost certs check" in found.remediation and "in 2 min" in found.remediation
    assert "being tried again now" in verdict(refused, wanted, NOW + 131, possible=("http-01",)).troubles[0].remediation
    away = replace(ASKED, attempt=Attempt(error="unreachable", message="it is away", failures=1, next_at=NOW + 130))
    assert "operator" in verdict(away, wanted, NOW, possible=("http-01",)).troubles[0].remediation
    no_way = replace(ASKED, attempt=Attempt(error="noChallenge", message="a wildcard", failures=1))
    assert "dns_hook" in verdict(no_way, wanted, NOW, possible=("http-01",)).troubles[0].remediation


def test_a_limit_is_shown_until_it_is_over() -> None:
    wanted = requirements(APP, ASKED, "roost.test")
    limited = replace(ASKED, attempt=Attempt(error="rateLimited", message="slow down", rate_limited_until=NOW + 60))
    judged = verdict(limited, wanted, NOW, possible=("http-01",))
    assert judged.rate_limited_until == NOW + 60 and judged.troubles[0].code == "rate_limited"
    assert verdict(limited, wanted, NOW + 61, possible=("http-01",)).rate_limited_until == 0.0
