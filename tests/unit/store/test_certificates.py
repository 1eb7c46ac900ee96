"""Rows of certificates and secret keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roost.model.certificate import Attempt, Certificate, Issued, KeyKind, Seen, Uploaded
from roost.model.errors import Conflict, NameTaken, NotFound
from roost.model.secret_key import KeyType, SecretKey
from roost.store.store import Store

ONE = Certificate("shop", "a.example", True, None, None, 0.0, 1.0, 1.0)
UPLOADED = Uploaded("pem", KeyKind.RSA, "CA", 9.0, 2.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    for name in ("shop", "blog"):
        opened.apps.create(name=name, app_id=name, org="personal", network="n", now=1.0)
    yield opened
    opened.close()


def test_a_certificate_comes_back_as_it_was(store: Store) -> None:
    rows = store.certificates
    assert rows.add(ONE) == ONE == rows.get("shop", "a.example")
    assert rows.add(replace(ONE, acme_requested=False)) == ONE
    with pytest.raises(NameTaken):
        rows.add(replace(ONE, app="blog"))
    with pytest.raises(NotFound):
        rows.get("blog", "a.example")
    full = replace(ONE, custom=UPLOADED, seen=Seen(a=("192.0.2.1",), failed="x"), checked_at=3.0)
    rows.save_with_key(full, b"sealed")
    assert rows.get("shop", "a.example") == full
    rows.save(replace(full, checked_at=4.0))
    assert rows.sealed_key("a.example") == b"sealed"
    rows.save(replace(full, custom=None))
    assert rows.sealed_key("a.example") is None
    rows.remove("blog", "a.example")
    rows.remove("shop", "a.example")
    with pytest.raises(NotFound):
        rows.get("shop", "a.example")


def test_certificates_by_page(store: Store) -> None:
    for name in ("b.example", "a.example", "a_c.example", "axc.example"):
        store.certificates.add(replace(ONE, hostname=name))
    store.certificates.add(replace(ONE, hostname="z.example", app="blog"))
    page, total = store.certificates.list("shop", limit=2)
    assert ([c.hostname for c in page], total) == (["a.example", "a_c.example"], 4)
    page, total = store.certificates.list("shop", after="a_c.example", limit=2)
    assert ([c.hostname for c in page], total) == (["axc.example", "b.example"], 4)
    assert [c.hostname for c in store.certificates.list("shop", part="a_c", limit=9)[0]] == ["a_c.example"]


def test_secret_keys(store: Store) -> None:
    key = SecretKey("shop", "k", KeyType.ES256, b"public", 1.0, 1.0)
    assert store.secret_keys.set(key, b"one", replace=False) == 1
    with pytest.raises(Conflict):
        store.secret_keys.set(key, b"two", replace=False)
    later = replace(key, updated_at=2.0, created_at=2.0)
    assert store.secret_keys.set(later, b"two", replace=True) == 2
    assert store.secret_keys.get("shop", "k") == (replace(later, created_at=1.0), b"two")
    assert store.secret_keys.list("shop") == [replace(later, created_at=1.0)]
    assert store.secret_keys.list("blog") == []
    assert store.secret_keys.remove("shop", "k") == 3
    with pytest.raises(NotFound):
        store.secret_keys.get("shop", "k")


def test_an_app_takes_both_along(store: Store) -> None:
    store.certificates.add(ONE)
    store.secret_keys.set(SecretKey("shop", "k", KeyType.HS256, b"", 1.0, 1.0), b"one", replace=False)
    store.apps.remove("shop", now=9.0)
    store.apps.create(name="shop", app_id="2", org="personal", network="n", now=2.0)
    assert store.secret_keys.list("shop") == []
    assert store.certificates.list("shop", limit=9) == ([], 0)


def test_an_order_and_what_it_brings_are_kept_while_the_certificate_is_asked_for(store: Store) -> None:
    rows = store.certificates
    rows.add(ONE)
    attempt = Attempt(order="https://ca/order/1", challenge="http-01")
    rows.save_attempt("shop", "a.example", attempt, sealed=b"the order's key")
    assert rows.to_issue() == [replace(ONE, attempt=attempt)]
    rows.save_attempt("shop", "a.example", replace(attempt, failures=1))
    assert rows.sealed_keys("a.example") == (None, b"the order's key")
    issued = Issued("pem", KeyKind.ECDSA, "CA", 1.0, 9.0, 2.0, 7.0, 3.0)
    rows.save_issued("blog", "a.example", issued, b"another's")
    assert rows.get("shop", "a.example").issued is None
    rows.save_issued("shop", "a.example", issued, b"key")
    assert rows.get("shop", "a.example") == replace(ONE, issued=issued)
    assert rows.sealed_keys("a.example") == (b"key", None)
    assert rows.all_hosts() == {"shop": ("a.example",)} and rows.hosts("shop") == ("a.example",)
    rows.save(replace(ONE, acme_requested=False))
    assert rows.sealed_keys("a.example") == (None, None)
    rows.save_issued("shop", "a.example", issued, b"late")
    assert rows.get("shop", "a.example").issued is None, "nobody asks for it any more"


def test_a_host_name_is_served_by_its_own_row_before_the_wildcards(store: Store) -> None:
    rows = store.certificates
    for host in ("*.example", "a.example", "b.a.example"):
        rows.add(replace(ONE, hostname=host))
    assert [each.hostname for each in rows.serving("a.example")] == ["a.example", "*.example"]
    assert [each.hostname for each in rows.serving("c.example")] == ["*.example"]
    assert rows.serving("c.b.example") == []
