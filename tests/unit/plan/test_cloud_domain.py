"""Whether the cloud's domain has public certificates, how, and which names are asked for when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.certificate import Attempt, Issued, KeyKind, Seen
from roost.model.domain_name import DomainName
from roost.plan.cloud_domain import (
    LONGEST_DOUBT,
    WEEK,
    Choice,
    Way,
    choose,
    shares_certificate,
    way_of,
    why_not_public,
)
from roost.plan.domain_report import HERE, Report, Standing, Trust, own_verdict, report, trust
from roost.plan.issuing import after_failure

NOW = 1_000_000_000.0
DAY = 86_400.0
DOMAIN = "apps.example.com"
HTTP = ("tls-alpn-01", "http-01")
ISSUED = Issued("pem", KeyKind.ECDSA, "CA", NOW - DAY, NOW + 89 * DAY, NOW - DAY, NOW + 59 * DAY, NOW + 99 * DAY)


def name(app: str, issued: Issued | None = None, *, called: bool = False, **more: object) -> DomainName:
    first = issued.created_at if issued else 0.0
    made = DomainName(f"{app}.{DOMAIN}", app, NOW - DAY, float(called), first, issued)
    return replace(made, **more)  # type: ignore[arg-type]


def new(*hosts: str, org: str = "") -> list[tuple[str, str]]:
    return [(host, org) for host in hosts]


def failed(app: str, times: int, at: float, error: str = "dns", retry_after: float | None = None) -> DomainName:
    attempt = Attempt()
    for _ in range(times):
        attempt = after_failure(app, attempt, at, error=error, message="no address", retry_after=retry_after)
    return name(app, attempt=attempt)


@pytest.mark.parametrize("domain", ["example.com", "apps.example.co.uk", "xn--bcher-kva.example.net", "a.b.c.dev"])
def test_a_domain_that_can_be_had_may_have_one(domain: str) -> None:
    assert why_not_public(domain) == ""


@pytest.mark.parametrize(
    "domain",
    ["localhost", "apps.localhost", "x.test", "cloud.internal", "a.local", "home.arpa", "b.lan", "b.example",
     "10.0.0.1", "fd00::1", "1.2.3", "server", "x.onion"],
)  # fmt: skip
def test_a_domain_that_nobody_can_have_never_asks(domain: str) -> None:
    assert why_not_public(domain)
    assert way_of(domain, HTTP, agrees=True, https=True)[0] is Way.NONE


def test_the_way_follows_from_what_there_is() -> None:
    assert way_of(DOMAIN, (*HTTP, "dns-01"), agrees=True, https=True)[0] is Way.WILDCARD
    assert way_of(DOMAIN, HTTP, agrees=True, https=True)[0] is Way.NAMES
    for way, why in (
        way_of(DOMAIN, HTTP, agrees=False, https=True),
        way_of(DOMAIN, HTTP, agrees=True, https=False),
        way_of(DOMAIN, (), agrees=True, https=True),
        way_of(DOMAIN, HTTP, agrees=True, https=True, wanted=False),
    ):
        assert way is Way.NONE and why
    assert way_of("x.internal", HTTP, agrees=True, https=True, wanted=True)[0] is Way.NAMES


def test_names_share_a_certificate_unless_that_would_be_worse() -> None:
    wildcard = DomainName(f"*.{DOMAIN}", "", NOW, issued=ISSUED)
    assert shares_certificate(DOMAIN, Way.NONE, [], NOW)
    assert shares_certificate(DOMAIN, Way.WILDCARD, [], NOW)
    assert not shares_certificate(DOMAIN, Way.NAMES, [wildcard], NOW)
    assert not shares_certificate(DOMAIN, Way.WILDCARD, [name("a", ISSUED)], NOW), "the wildcard is not there yet"
    assert shares_certificate(DOMAIN, Way.WILDCARD, [name("a", ISSUED), wildcard], NOW)
    assert shares_certificate("other.example.com", Way.WILDCARD, [name("a", ISSUED)], NOW), "of another domain"
    assert shares_certificate(DOMAIN, Way.WILDCARD, [name("a", replace(ISSUED, expires_at=NOW - 1))], NOW)


def test_before_the_first_success_one_name_is_tried() -> None:
    assert choose([], new("a.x", "b.x"), NOW, per_week=40).begin == ("a.x",)
    assert choose([], new("a.x", "b.x"), NOW, per_week=40, busy=["c.x"]).begin == ()
    assert choose([name("ok", ISSUED)], new("a.x", "b.x"), NOW, per_week=40).begin == ("a.x", "b.x")


def test_those_that_were_called_come_first_and_others_take_half() -> None:
    found = [name("ok", ISSUED), name("idle"), name("called", called=True)]
    newcomers = new(*(f"n{i}.x" for i in range(10)))
    chosen = choose(found, newcomers, NOW, per_week=8)
    assert chosen.begin == (f"called.{DOMAIN}", f"idle.{DOMAIN}", "n0.x")  # 4 with the one that was issued
    called = [name(f"c{i}", called=True) for i in range(20)]
    assert len(choose([found[0], *called], newcomers, NOW, per_week=8).begin) == 7


@given(st.lists(st.floats(0, 20 * DAY), max_size=30), st.integers(1, 30), st.integers(0, 50))
def test_never_more_new_names_in_a_week_than_allowed(ages: list[float], per_week: int, wanting: int) -> None:
    found = [
        name(f"a{i}", replace(ISSUED, created_at=NOW - age), exists=i % 3 > 0) for i, age in enumerate(ages)
    ] + [name(f"c{i}", called=True) for i in range(wanting)]  # fmt: skip
    chosen = choose(found, new("n.x") * 50, NOW, per_week=per_week)
    within = sum(age < WEEK for age in ages)
    assert chosen.used == within
    assert len(chosen.begin) + within <= max(per_week, within)
    if within >= per_week:
        assert NOW < chosen.free_at <= NOW + WEEK


def issued(count: int, org: str, *, there: bool = True) -> list[DomainName]:
    return [name(f"{org}{i}", ISSUED, org=org, exists=there) for i in range(count)]


def test_an_org_that_takes_all_it_can_leaves_each_other_its_part() -> None:
    many = [name(f"m{i}", called=True, org="many") for i in range(100)]
    orgs = {"many", "one", "two", "three"}
    chosen = choose([*issued(1, "many"), *many], [], NOW, per_week=40, orgs=orgs)
    assert len(chosen.begin) == 24, "25 of 40: three others have 5 each, a fourth of one half"
    assert chosen.full == {"many"}
    gone = choose([*issued(25, "many", there=False), *many], [], NOW, per_week=40, orgs=orgs)
    assert gone.begin == () and gone.full == {"many"}, "to destroy its apps does not help it"
    late = [name("late", called=True, org="two"), name("more", called=True, org="one")]
    assert choose([*issued(25, "many"), *many, *late], [], NOW, per_week=40, orgs=orgs).begin == (
        f"late.{DOMAIN}", f"more.{DOMAIN}",
    )  # fmt: skip
    alone = choose([*issued(1, "many"), *many], [], NOW, per_week=40, orgs={"many"})
    assert len(alone.begin) == 39, "one that is alone has them all"
    idle = choose(issued(1, "many"), [*new(*"abcdefghijklmnopqrstuvwxyz", org="many"), *new("9", org="one")], NOW,
                  per_week=40, orgs=orgs)  # fmt: skip
    assert len(idle.begin) == 14 and idle.begin[-1] == "9", "so with names that nobody has called: 20 in all"


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=80), st.integers(1, 60),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 30)),
)  # fmt: skip
def test_with_room_left_each_org_has_its_part(
    wanting: list[tuple[str, bool]], per_week: int, had: dict[str, int]
) -> None:
    orgs = set("abcde")
    found = [one for org, count in had.items() for one in issued(count, org)]
    found += [name(f"w{i}", called=called, org=org) for i, (org, called) in enumerate(wanting)]
    chosen = choose([name("ok", ISSUED), *found], [], NOW, per_week=per_week, orgs=orgs)
    total = 1 + sum(had.values()) + len(chosen.begin)
    assert len(chosen.begin) == 0 or total <= per_week
    org_of = {each.hostname: each.org for each in found}
    after = {org: had.get(org, 0) + sum(org_of[host] == org for host in chosen.begin) for org in orgs}
    left = {org for i, (org, called) in enumerate(wanting) if called and f"w{i}.{DOMAIN}" not in chosen.begin}
    assert all(after[org] >= max(1, per_week // 2 // len(orgs)) for org in left) or total >= per_week


def test_a_renewal_is_due_in_time_whatever_the_week_and_not_for_an_app_that_is_gone() -> None:
    due = replace(ISSUED, renew_at=NOW - 1)
    chosen = choose([name("a", due), name("gone", due, exists=False), name("fresh", ISSUED)], [], NOW, per_week=1)
    assert [each.app for each in chosen.renew] == ["a"]
    assert chosen.used == 3, "those of apps that are gone count, too"


def test_an_order_under_way_is_gone_on_with_and_counts() -> None:
    chosen = choose([name("a", attempt=Attempt(order="https://x"))], new("n.x"), NOW, per_week=40)
    assert [each.app for each in chosen.renew] == ["a"] and chosen.begin == () and chosen.used == 1


def test_after_failures_names_are_tried_one_by_one_with_pauses() -> None:
    bad = [failed("a", 1, NOW), failed("b", 1, NOW + 5)]
    assert choose(bad, new("n.x"), NOW + 10, per_week=40).begin == ()
    later = choose(bad, new("n.x", "m.x"), NOW + 600, per_week=40)
    assert later.begin == ("n.x",), "the one that has failed least"
    assert choose([failed("a", 30, NOW)], new("n.x"), NOW + LONGEST_DOUBT + 1, per_week=40).begin == ("n.x",)
    success = name("ok", replace(ISSUED, created_at=NOW + 20))
    assert choose([*bad, success], new("n.x", "m.x"), NOW + 30, per_week=40).begin == ("n.x", "m.x")


def test_nothing_is_asked_while_the_authority_limits_us() -> None:
    limited = failed("a", 1, NOW, "rateLimited", 3600)
    due = name("b", replace(ISSUED, renew_at=NOW - 1))
    assert choose([limited, due], new("n.x"), NOW + 3599, per_week=40) == Choice(used=1)
    assert choose([limited, due], new("n.x"), NOW + 2 * LONGEST_DOUBT, per_week=40).renew == (due,)


def told(*names: DomainName, way: Way = Way.NAMES, ports: tuple[int, int] = (80, 443), per_week: int = 40) -> Report:
    chosen = choose(names, [], NOW, per_week=per_week)
    return report(DOMAIN, way, "", names, NOW, chosen=chosen, per_week=per_week, address="9.9.9.9", ports=ports)


def test_the_report_says_what_is_wrong_and_what_dns_needs() -> None:
    good = told(name("a", ISSUED))
    assert (good.standing, good.troubles) == (Standing.ACTIVE, ())
    assert [(each.name, each.type) for each in good.records] == [(f"*.{DOMAIN}.", "A")]
    bad = told(replace(failed("a", 1, NOW), seen=Seen()), ports=(8080, 8443))
    assert bad.standing is Standing.FAILING and bad.next_at > NOW
    assert [each.code for each in bad.troubles] == ["acme_dns", "dns_not_found", "ports"]
    elsewhere = told(replace(failed("a", 1, NOW), seen=Seen(a=("192.0.2.1",))))
    assert "192.0.2.1" in elsewhere.troubles[1].message
    many = told(name("a", ISSUED), name("b", ISSUED), name("c", called=True), per_week=2)
    assert (many.standing, many.troubles[0].code) == (Standing.PENDING, "names_per_week")
    assert many.next_at == NOW - DAY + WEEK
    orgs = {"many", "other"}
    names = [*issued(7, "many"), name("next", called=True, org="many")]
    part = report(
        DOMAIN, Way.NAMES, "", names, NOW, chosen=choose(names, [], NOW, per_week=8, orgs=orgs), per_week=8,
        address="", ports=(80, 443),
    )  # fmt: skip
    assert [each.code for each in part.troubles] == ["names_of_org"] and "many:" in part.troubles[0].message


def test_the_report_of_a_domain_without_says_why_and_how() -> None:
    none = report(
        DOMAIN, Way.NONE, "nobody has agreed to the authority's terms", [], NOW,
        chosen=Choice(), per_week=40, address="", ports=(80, 443),
    )  # fmt: skip
    assert none.standing is Standing.NONE and "--email" in none.troubles[0].remediation
    own = own_verdict(name("shop").as_certificate(), none, NOW)
    assert [trouble.code for trouble in own.troubles] == ["own_authority", "no_public_certificate"]
    assert "roost certs ca" in own.troubles[0].remediation
    local = report(
        "localhost", Way.NONE, why_not_public("localhost"), [], NOW,
        chosen=Choice(), per_week=40, address="", ports=(80, 443),
    )  # fmt: skip
    assert local.troubles == (), "nothing is wrong"


def test_who_has_to_trust_the_clouds_own_authority() -> None:
    none = report(
        DOMAIN, Way.NONE, "no terms", [], NOW, chosen=Choice(), per_week=40, address="", ports=(80, 443)
    )  # fmt: skip
    assert trust(none, NOW) == Trust(True, "")
    public = trust(told(name("a", ISSUED)), NOW)
    assert not public.needed and f"nobody has to trust it: {DOMAIN} has public certificates" in public.why
    assert not trust(told(replace(failed("a", 1, NOW), issued=ISSUED)), NOW).needed  # its renewal fails, it is valid
    for waits in (told(), told(name("a", ISSUED), name("b")), told(name("a", replace(ISSUED, expires_at=NOW)))):
        part = trust(waits, NOW)
        assert part.needed and "only until" in part.why and "roost admin domain" in part.why


def test_an_address_that_is_private_is_no_record() -> None:
    behind = report(DOMAIN, Way.WILDCARD, "", [], NOW, chosen=Choice(), per_week=2, address="10.0.0.5", ports=(80, 443))
    assert behind.records[0].value == HERE and behind.records[1].name == f"_acme-challenge.{DOMAIN}."
