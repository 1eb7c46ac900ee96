"""Names of the cloud's domain, with a real store: what the edge is told, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.control.cloud_domain import CloudDomain
from roost.control.core import Core
from roost.model.acme import AcmeSettings
from roost.model.certificate import Attempt, Issued, KeyKind
from roost.model.cloud import Cloud
from roost.plan.cloud_domain import Way
from roost.plan.domain_report import Standing
from roost.plan.issuing import after_failure
from roost.store.store import Store

DOMAIN = "apps.example.com"
DAY = 86_400.0
ISSUED = Issued("pem", KeyKind.ECDSA, "CA", 1.0, 90.0, 7.0, 60.0, 8.0)


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, DOMAIN, IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    nothing: Any = SimpleNamespace()
    yield Core(cloud, store, nothing, nothing, nothing, nothing, nothing, acme=AcmeSettings(names_per_week=8))
    store.close()


def create(core: Core, org: str, *names: str) -> None:
    for name in names:
        core.store.apps.create(name=name, app_id=name, org=org, network="n", now=1.0)


def domain_of(core: Core) -> tuple[CloudDomain, list[list[str]]]:
    nothing: Any = SimpleNamespace()
    made, told = CloudDomain(core, nothing, Way.NAMES, ""), list[list[str]]()
    made.changed = told.append
    return made, told


def test_the_edge_is_told_once_of_a_certificate_that_has_expired(core: Core) -> None:
    create(core, "acme", "shop", "blog")
    domain, told = domain_of(core)
    due, rows = domain.book().due, core.store.domain_certificates
    for app in ("shop", "blog"):
        rows.add(app, f"{app}.{DOMAIN}", "first", 2.0)
    rows.save_issued("shop", f"shop.{DOMAIN}", ISSUED, b"key")
    rows.save_issued("blog", f"blog.{DOMAIN}", replace(ISSUED, expires_at=200.0), b"key")
    for now in (80.0, 100.0, 160.0):
        list(due(now, frozenset()))
    assert told == [[f"shop.{DOMAIN}"]]
    list(due(220.0, frozenset()))
    assert told[1:] == [[f"blog.{DOMAIN}"]]
    rows.save_issued("shop", f"shop.{DOMAIN}", replace(ISSUED, expires_at=300.0), b"key")
    for now in (250.0, 310.0, 370.0):
        list(due(now, frozenset()))
    assert told[2:] == [[f"shop.{DOMAIN}"]], "the next one, when it has expired"


def test_one_org_leaves_the_others_their_part_of_the_weeks_new_names(core: Core) -> None:
    create(core, "few", "mine")
    create(core, "many", *(f"m{number}" for number in range(20)))
    domain, _ = domain_of(core)
    rows, now = core.store.domain_certificates, core.now()
    for number in range(20):
        rows.add(f"m{number}", f"m{number}.{DOMAIN}", core.acme.directory, now, called=True)
    issued = replace(ISSUED, created_at=now - 1, expires_at=now + 1000, renew_at=now + 900, ask_at=now + 900)
    for number in range(6):
        rows.save_issued(f"m{number}", f"m{number}.{DOMAIN}", issued, b"key")
    assert domain.choice().begin == (), "6 of 8; the other org's part is 2"
    verdict = domain.of_app("m19")[1]
    assert [each.code for each in verdict.troubles] == ["names_of_org"]
    rows.add("mine", f"mine.{DOMAIN}", core.acme.directory, now, called=True)
    assert domain.choice().begin == (f"mine.{DOMAIN}",)
    assert domain.of_app("mine")[1].troubles == (), "nothing of other orgs"


def test_while_the_wildcard_fails_names_are_asked_for_and_it_is_tried_on(core: Core) -> None:
    core.acme = replace(core.acme, dns_hook=("false",))
    create(core, "acme", "shop")
    nothing: Any = SimpleNamespace()
    domain, apart = CloudDomain(core, nothing, Way.WILDCARD, ""), list[bool]()
    domain.show_apart = lambda: apart.append(True)
    rows, due, now = core.store.domain_certificates, domain.book().due, core.now()
    wildcard, shop = f"*.{DOMAIN}", f"shop.{DOMAIN}"

    def asked(at: float, busy: frozenset[str] = frozenset()) -> list[str]:
        return [found.hostname for found, issue in due(at, busy) if issue]

    def fail(at: float, error: str = "dnsHook") -> None:
        found = rows.find(wildcard)
        assert found is not None
        rows.save_attempt("", wildcard, after_failure("", found.attempt or Attempt(), at, error=error, message="no"))

    assert asked(now) == [wildcard]
    for number in range(3):
        fail(now + number)
        assert domain.way is Way.WILDCARD
    assert asked(now + 3) == [] and apart == []
    fail(now + 4)
    assert asked(now + 5) == [shop] and apart == [True]
    assert domain.way is Way.NAMES
    told = domain.report()
    assert (told.standing, told.troubles[0].code) == (Standing.FAILING, "acme_dnsHook")
    assert {each.type for each in told.records} == {"A", "TXT"}
    assert set(asked(now + 100_000)) == {wildcard, shop}
    assert asked(now + 100_000, frozenset({wildcard})) == [shop], "the one holds up the other not"

    again = CloudDomain(core, nothing, Way.WILDCARD, "")  # the next roostd
    again.resume()
    assert again.way is Way.NAMES
    good = replace(ISSUED, created_at=now, expires_at=now + 90 * DAY, renew_at=now + 60 * DAY, ask_at=now + 80 * DAY)
    rows.save_issued("", wildcard, good, b"key")
    assert asked(now + 200_000) == [] and domain.way is Way.WILDCARD
    for number in range(9):
        fail(now + number)
    assert asked(now + 1) == [] and domain.way is Way.WILDCARD, "what there is lasts"
    assert asked(now + 88 * DAY)[0] == wildcard and domain.way is Way.NAMES
    fail(now + 88 * DAY, "rateLimited")
    assert asked(now + 88 * DAY + 1) == [] and domain.way is Way.WILDCARD
