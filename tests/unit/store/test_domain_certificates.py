"""Rows of the public certificates of the cloud's own domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.model.certificate import Attempt, Issued, KeyKind, Seen
from roost.model.errors import NotFound
from roost.store.store import Store

ISSUED = Issued("pem", KeyKind.ECDSA, "CA", 1.0, 90.0, 7.0, 60.0, 8.0)
HOST = "shop.apps.example.com"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    for name in ("shop", "blog", "wiki"):
        opened.apps.create(name=name, app_id=name, org="personal", network="n", now=1.0)
    yield opened
    opened.close()


def issue(store: Store, app: str, directory: str = "first") -> None:
    host = f"{app}.apps.example.com" if app else "*.apps.example.com"
    store.domain_certificates.add(app, host, directory, 2.0)
    store.domain_certificates.save_attempt(app, host, Attempt(order="https://x"), sealed=b"order")
    store.domain_certificates.save_issued(app, host, ISSUED, b"issued")


def test_a_name_comes_back_as_it_was_and_an_issued_one_ends_its_order(store: Store) -> None:
    rows = store.domain_certificates
    rows.add("shop", HOST, "first", 2.0)
    rows.add("shop", HOST, "first", 3.0, called=True)
    rows.add("shop", HOST, "first", 4.0, called=True)
    rows.save_attempt("shop", HOST, Attempt(order="https://x"), sealed=b"order")
    rows.save_seen("shop", HOST, Seen(a=("192.0.2.1",)), 5.0)
    found = rows.find(HOST)
    assert found is not None and found.attempt == Attempt(order="https://x") and found.seen == Seen(a=("192.0.2.1",))
    assert (found.created_at, found.called_at, found.checked_at, found.first_issued_at) == (2.0, 3.0, 5.0, 0.0)
    assert rows.sealed_keys(HOST) == (None, b"order")
    rows.save_issued("shop", HOST, ISSUED, b"issued")
    found = rows.find(HOST)
    assert found is not None and (found.attempt, found.issued, found.first_issued_at) == (None, ISSUED, 7.0)
    assert rows.sealed_keys(HOST) == (b"issued", None)
    with pytest.raises(NotFound):
        rows.get("blog", HOST)


def test_a_row_outlives_its_app_and_is_its_successors(store: Store) -> None:
    rows = store.domain_certificates
    issue(store, "shop")
    assert rows.apps_without(9) == [("wiki", "personal"), ("blog", "personal")], "the newest first"
    store.apps.remove("shop", now=9.0)
    assert [(each.hostname, each.exists) for each in rows.list()] == [(HOST, False)]
    store.apps.create(name="shop", app_id="other", org="personal", network="n", now=9.0)
    assert rows.list()[0].exists and rows.apps_without(1) == [("wiki", "personal")]


def test_the_wildcard_belongs_to_no_app(store: Store) -> None:
    issue(store, "")
    (found,) = store.domain_certificates.list()
    assert found.exists and found.app == ""
    store.domain_certificates.remove([found.hostname])
    assert store.domain_certificates.list() == []


def test_another_authoritys_certificates_serve_until_they_are_issued_anew(store: Store) -> None:
    rows = store.domain_certificates
    issue(store, "shop", "staging")
    issue(store, "blog", "first")
    rows.add("wiki", "wiki.apps.example.com", "staging", 2.0)
    rows.save_attempt("wiki", "wiki.apps.example.com", Attempt(failures=3, rate_limited_until=9e9))
    rows.keep_only("apps.example.com", "first")
    by_app = {each.app: each for each in rows.list()}
    shop = by_app["shop"].issued
    assert shop is not None and (shop.fullchain, shop.renew_at) == ("pem", 0.0)
    assert by_app["shop"].first_issued_at == 0.0, "it is a new name to this authority"
    assert (by_app["blog"].issued, by_app["blog"].first_issued_at) == (ISSUED, 7.0)
    assert by_app["wiki"].attempt is None, "the other authority's limit is not this one's"
    assert rows.sealed_keys(HOST) == (b"issued", None)


def test_names_of_another_domain_are_forgotten(store: Store) -> None:
    issue(store, "shop")
    issue(store, "")
    store.domain_certificates.keep_only("other.example.com", "first")
    assert store.domain_certificates.list() == []


def test_a_name_counts_against_the_org_that_it_was_first_issued_for(store: Store) -> None:
    rows = store.domain_certificates
    rows.add("shop", HOST, "first", 2.0)
    assert [each.org for each in rows.list()] == ["personal"], "the app's, until then"
    rows.save_issued("shop", HOST, ISSUED, b"issued")
    store.apps.remove("shop", now=9.0)
    assert [each.org for each in rows.list()] == ["personal"]
    store.apps.create(name="shop", app_id="other", org="rival", network="n", now=9.0)
    assert [each.org for each in rows.list()] == ["personal"]
    assert store.apps.orgs() == {"personal", "rival"}


def test_orgs_come_by_turns(store: Store) -> None:
    store.apps.create(name="late", app_id="late", org="rival", network="n", now=1.0)
    assert [app for app, _ in store.domain_certificates.apps_without(9)] == ["late", "wiki", "blog", "shop"]
    store.apps.create(name="later", app_id="later", org="personal", network="n", now=1.0)
    assert [app for app, _ in store.domain_certificates.apps_without(2)] == ["later", "late"]
