"""Whose a host name is: with a real store, and DNS as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.control.acme_client import AcmeTrouble
from roost.control.certificates import Certificates
from roost.control.core import Core
from roost.control.routing import Routing
from roost.model.certificate import Certificate, Issued, KeyKind, Seen
from roost.model.cloud import Cloud
from roost.model.errors import NameTaken
from roost.store.store import Store

DOMAIN = "apps.example.com"
HOST = "www.shop.example"
ISSUED = Issued("pem", KeyKind.ECDSA, "CA", 1.0, 9e9, 7.0, 6e9, 8.0)


class Dns:
    """Says what it was told."""

    def __init__(self) -> None:
        self.cname: dict[str, str] = {}
        self.txt: dict[str, str] = {}

    def look(self, name: str, *, target: str, challenge: str, ownership: str) -> Seen:
        cname = (self.cname[name],) if name in self.cname else ()
        return Seen(cname=cname, ownership=(self.txt[ownership],) if ownership in self.txt else ())

    def alias(self, name: str) -> str:
        return self.cname.get(name, "")


@pytest.fixture
def dns() -> Dns:
    return Dns()


@pytest.fixture
def certificates(tmp_path: Path, dns: Dns) -> Iterator[Certificates]:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, DOMAIN, IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    nothing: Any = SimpleNamespace()
    core = Core(cloud, store, nothing, nothing, nothing, nothing, nothing)
    for app, org in (("shop", "acme"), ("blog", "acme"), ("evil", "crooks")):
        store.apps.create(name=app, app_id=f"{app}-id", org=org, network="n", now=1.0)
    made = Certificates(core, dns, nothing, nothing)
    made.told = []  # type: ignore[attr-defined]
    made.announce = lambda app, host: made.told.append((app, host))  # type: ignore[attr-defined]
    yield made
    store.close()


def test_a_name_stays_with_who_has_it_until_dns_says_more_for_another(certificates: Certificates, dns: Dns) -> None:
    certificates.request("evil", HOST)
    with pytest.raises(NameTaken) as caught:
        certificates.request("shop", HOST)
    assert "another app's" in caught.value.message and "evil" not in str(caught.value.hint)
    assert f'_fly-ownership.{HOST} TXT "app-shop-id"' in str(caught.value.hint)
    dns.cname[HOST] = f"evil.{DOMAIN}"
    dns.txt[f"_fly-ownership.{HOST}"] = "org-acme"
    assert certificates.request("shop", HOST).app == "shop"
    assert certificates.told[-2:] == [("evil", HOST), ("shop", HOST)]  # type: ignore[attr-defined]
    with pytest.raises(NameTaken):
        certificates.request("evil", HOST)
    with pytest.raises(NameTaken) as caught:
        certificates.request("blog", HOST)  # the record is as much for this app of the org
    assert caught.value.message == f"{HOST} is shop's" and f"certs remove {HOST} -a shop" in str(caught.value.hint)
    dns.txt[f"_fly-ownership.{HOST}"] = "app-blog-id"
    assert certificates.request("blog", HOST).app == "blog"
    assert certificates.request("blog", HOST).app == "blog"


def test_a_cname_to_the_app_is_enough_against_who_has_nothing(certificates: Certificates, dns: Dns) -> None:
    certificates.request("evil", HOST)
    dns.cname[HOST] = f"shop.{DOMAIN}"
    assert certificates.request("shop", HOST).app == "shop"


def test_names_below_another_orgs_wildcard_are_its_own(certificates: Certificates, dns: Dns) -> None:
    certificates.request("shop", "*.shop.example")
    certificates.request("evil", "first.shop.example")  # nobody has shown that the wildcard is theirs
    certificates.remove("evil", "first.shop.example")
    rows = certificates._core.store.certificates
    rows.save_issued("shop", "*.shop.example", ISSUED, b"key")
    for name in ("login.shop.example", "first.shop.example"):
        with pytest.raises(NameTaken, match=r"covered by \*.shop.example"):
            certificates.request("evil", name)
    assert certificates.request("blog", "login.shop.example").app == "blog", "its own org's"
    assert certificates.request("evil", "a.login.shop.example").app == "evil", "a wildcard covers one label"
    dns.cname["given.shop.example"] = f"evil.{DOMAIN}"
    assert certificates.request("evil", "given.shop.example").app == "evil"
    rows.save_issued("shop", "*.shop.example", replace(ISSUED, expires_at=2.0), b"key")
    assert certificates.request("evil", "late.shop.example").app == "evil", "expired, and DNS says nothing for it"
    dns.txt["_fly-ownership.shop.example"] = "org-acme"
    with pytest.raises(NameTaken):
        certificates.request("evil", "later.shop.example")


def test_who_was_first_below_a_wildcard_has_no_more_than_its_owner_gives(certificates: Certificates, dns: Dns) -> None:
    for name in ("login.shop.example", "given.shop.example", "a.login.shop.example"):
        certificates.request("evil", name)
    certificates.request("shop", "*.shop.example")
    with pytest.raises(NameTaken):
        certificates.request("shop", "login.shop.example")  # nobody has shown anything
    dns.txt["_fly-ownership.shop.example"] = "app-shop-id"
    dns.cname["given.shop.example"] = f"evil.{DOMAIN}"
    assert certificates.request("blog", "login.shop.example").app == "blog", "any app of the wildcard's org"
    assert ("evil", "login.shop.example") in certificates.told  # type: ignore[attr-defined]
    for name in ("given.shop.example", "a.login.shop.example"):  # its owner gave it away; and one label only
        with pytest.raises(NameTaken, match="another app's"):
            certificates.request("shop", name)
    with pytest.raises(NameTaken, match="blog's"):
        certificates.request("shop", "login.shop.example")


def test_a_wildcard_is_not_shown_for_another_orgs_name(certificates: Certificates) -> None:
    certificates.request("evil", "login.shop.example")
    certificates.request("blog", "blog.shop.example")
    certificates.request("shop", "*.shop.example")
    certificates._core.store.certificates.save_issued("shop", "*.shop.example", ISSUED, b"key")
    certificates._issued_key = lambda found: found.hostname.encode()  # type: ignore[method-assign]
    assert certificates.material("login.shop.example") is None
    for name in ("blog.shop.example", "any.shop.example"):
        found = certificates.material(name)
        assert found is not None and found.key == b"*.shop.example"


def test_the_operators_command_changes_for_an_app_what_is_its_own_only(certificates: Certificates, dns: Dns) -> None:
    def place(app: str, host: str) -> str:
        return certificates.place_of_record(
            Certificate(app, host, True, None, None, 0.0, 0.0, 0.0), f"_acme-challenge.{host.removeprefix('*.')}"
        )

    with pytest.raises(AcmeTrouble, match="neither leads here"):
        place("evil", HOST)
    dns.cname[HOST] = f"shop.{DOMAIN}"
    assert place("shop", HOST) == f"_acme-challenge.{HOST}", "it leads to the app"
    dns.txt["_fly-ownership.shop.example"] = "org-acme"
    assert place("shop", "*.shop.example") == "_acme-challenge.shop.example"
    with pytest.raises(AcmeTrouble, match="neither leads here"):
        place("evil", "*.shop.example")
    dns.cname["_acme-challenge.shop.example"] = f"shop.example.shop-id.acme.{DOMAIN}"
    assert place("shop", "*.shop.example") == f"shop.example.shop-id.acme.{DOMAIN}"
    for other in ("*.shop.example", "shop.example"):
        with pytest.raises(AcmeTrouble, match="not this app's"):
            place("evil", other)
    assert place("shop", f"*.{DOMAIN}") == f"_acme-challenge.{DOMAIN}", "the cloud's own"
    dns.cname[f"_acme-challenge.{DOMAIN}"] = "elsewhere.example"
    assert place("shop", f"*.{DOMAIN}") == "elsewhere.example"


def test_what_is_others_below_a_wildcard_is_known(certificates: Certificates) -> None:
    routing = Routing(certificates._core, None)  # type: ignore[arg-type]
    certificates.request("evil", "*.example.com")
    own = ("evil.example.org", "*.example.com")
    assert routing._below("evil", own, depth=1) == (DOMAIN,), "the cloud's own name"
    for host in ("login.example.com", "a.b.example.com", "example.com"):
        certificates.request("shop", host)
    certificates.request("evil", "own.example.com")
    assert routing._below("evil", own, depth=1) == (DOMAIN, "login.example.com")
    assert routing._below("evil", own) == ("a.b.example.com", DOMAIN, "login.example.com")
    assert routing._below("shop", ("login.example.com",)) == ()
    assert certificates.owners_above("login.example.com") == certificates.owners_above("a.b.example.com") == {"evil"}
    assert certificates.owners_above("example.com") == set()
    assert [routing.app_of(host) for host in (DOMAIN, "x.example.com", "login.example.com", f"shop.{DOMAIN}")] == [
        None, "evil", "shop", "shop",
    ]  # fmt: skip
