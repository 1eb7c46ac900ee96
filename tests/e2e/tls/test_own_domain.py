"""Public certificates for the cloud's own domain, by a real ACME server: a stranger's client trusts its root alone."""

from __future__ import annotations

import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.tls.conftest import DOMAIN, TlsCloud, config
from tests.e2e.tls.test_issuing import restart, served

ASLEEP = "asleep-own"


def configured(cloud: TlsCloud, *ways: str, hook: bool = False) -> None:
    """Let the domain have certificates from the next roostd on, and names be proven in these ways."""
    assert cloud.acme is not None
    text = cloud.acme.settings(hook=hook, own_domain=True) + f"challenges = {json.dumps(list(ways))}\n"
    cloud.configure(text)


def create(cloud: TlsCloud, app: str) -> None:
    assert cloud.api("POST", "/apps", json={"name": app, "org_slug": "personal"}).status_code == 201


def report(cloud: TlsCloud) -> dict[str, Any]:
    return dict(cloud.api("GET", "/admin/domain").json())


def is_public(cloud: TlsCloud, host: str) -> bool:
    """Whether a stranger's client trusts what the edge shows. If not, the cloud's own authority serves."""
    assert cloud.acme is not None
    try:
        served(cloud, host)
    except ssl.SSLError:
        cloud.connect(host, cloud.context(cloud.authority + cloud.acme.root)).close()  # it may just have come
        return False
    return True


def until_public(cloud: TlsCloud, host: str) -> x509.Certificate:
    try:
        wait_until(lambda: is_public(cloud, host), f"a public certificate for {host}", timeout=20)
    except AssertionError as error:
        raise AssertionError(f"{error}: {report(cloud)}") from None
    return served(cloud, host)


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName)


@pytest.fixture(scope="module", autouse=True)
def apps(cloud: TlsCloud, app: str) -> Iterator[None]:
    """An app that sleeps beside the one that is awake. Afterwards the domain is the own authority's again."""
    assert cloud.acme is not None
    create(cloud, ASLEEP)
    try:
        body = {"config": config(force_https=True), "skip_launch": True}
        assert cloud.api("POST", f"/apps/{ASLEEP}/machines", json=body).status_code == 200
        yield
    finally:
        cloud.api("DELETE", f"/apps/{ASLEEP}?force=true")
        cloud.configure(cloud.acme.settings())
        restart(cloud)


def test_each_name_by_http_where_there_is_no_dns(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    assert not is_public(cloud, f"{app}.{DOMAIN}")
    configured(cloud, "http-01")
    restart(cloud)
    asleep = until_public(cloud, f"{ASLEEP}.{DOMAIN}")  # with force_https
    assert cloud.machines(ASLEEP)[0]["state"] in ("created", "stopped"), "the check woke nobody"
    awake = until_public(cloud, f"{app}.{DOMAIN}")
    assert (names_of(asleep), names_of(awake)) == ([f"{ASLEEP}.{DOMAIN}"], [f"{app}.{DOMAIN}"])
    assert cloud.fetch(f"{app}.{DOMAIN}", context=cloud.context(cloud.acme.root))[0] == 200
    with pytest.raises((ssl.SSLError, OSError)):
        cloud.connect(f"nobody.{DOMAIN}")  # no app: nothing is asked for, and nothing is shown
    told = report(cloud)
    assert (told["kind"], told["status"]) == ("names", "active")
    assert {each["app"] for each in told["names"]} == {app, ASLEEP}
    url = cloud.api("GET", f"/apps/{app}/status").json()["url"]
    assert url == f"https://{app}.{DOMAIN}:{cloud.https_port}"
    assert f"{app}.{DOMAIN}: active" in cloud.roost("certs", "show", f"{app}.{DOMAIN}", "-a", app).stdout
    for what in ("", "/acme", "/custom"):
        refused = cloud.api("DELETE", f"/apps/{app}/certificates/{app}.{DOMAIN}{what}")
        assert refused.status_code == 400 and "in the cloud's own domain" in refused.text, refused.text
    assert "2 of 2 names, by Pebble" in cloud.roost("status").stdout
    trust = cloud.roost("certs", "ca")
    assert trust.stdout == cloud.authority and "nobody has to trust it" in trust.stderr
    assert f"{ASLEEP}.{DOMAIN}" in cloud.roost("admin", "domain").stdout


def test_killed_in_an_order_and_another_app_by_tls_alpn(cloud: TlsCloud) -> None:
    configured(cloud, "tls-alpn-01")  # the next roostd goes on with HTTP all the same
    (cloud.home / "fault").write_text("acme.answered")
    create(cloud, "third-own")
    try:
        wait_until(lambda: not (cloud.home / "fault").exists(), "the kill")
        until_public(cloud, f"third-own.{DOMAIN}")
        create(cloud, "by-alpn-own")
        until_public(cloud, f"by-alpn-own.{DOMAIN}")
    finally:
        for name in ("third-own", "by-alpn-own"):
            cloud.api("DELETE", f"/apps/{name}")


def test_a_failure_is_told_the_own_authority_serves_and_a_check_tries_again(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    host = f"fourth-own.{DOMAIN}"
    cloud.acme.tell_dns("set-servfail", host=f"{host}.")
    create(cloud, "fourth-own")
    try:
        told = wait_until(lambda: found if (found := report(cloud))["status"] == "failing" else None, "the failure")
        assert host in told["troubles"][0]["message"] and told["next_attempt_at"]
        assert not is_public(cloud, host)
        assert is_public(cloud, f"{app}.{DOMAIN}")
        cloud.acme.tell_dns("clear-servfail", host=f"{host}.")
        cloud.api("POST", "/admin/domain/check")
        until_public(cloud, host)
    finally:
        cloud.api("DELETE", "/apps/fourth-own")


def test_renewed_in_time(cloud: TlsCloud, app: str) -> None:
    host = f"{app}.{DOMAIN}"
    before, new_names = served(cloud, host), report(cloud)["new_names_this_week"]
    with sqlite3.connect(cloud.home / "state.db", timeout=10) as database:
        database.execute(
            "UPDATE domain_certificates SET issued = json_set(issued, '$.renew_at', 1.0) WHERE hostname = ?", (host,)
        )
    cloud.api("POST", "/admin/domain/check")
    wait_until(lambda: served(cloud, host) != before, "the renewal", timeout=20)
    assert report(cloud)["new_names_this_week"] == new_names, "a renewal is no new name"


@contextmanager
def failing(hook: Path) -> Iterator[None]:
    """The command for DNS fails meanwhile."""
    text = hook.read_text()
    hook.write_text("#!/bin/sh\nexit 1\n")
    try:
        yield
    finally:
        hook.write_text(text)


def failed_often(cloud: TlsCloud, host: str) -> None:
    """Have it as after an hour of failures."""
    with sqlite3.connect(cloud.home / "state.db", timeout=10) as database:
        database.execute(
            "UPDATE domain_certificates SET attempt = json_set(attempt, '$.failures', 4) WHERE hostname = ?", (host,)
        )


def test_one_wildcard_where_records_can_be_set_also_by_delegation(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    record = f"_acme-challenge.{DOMAIN}"
    cloud.acme.tell_dns("set-cname", host=f"{record}.", target="apps.zone.example.net.")
    before = served(cloud, f"{app}.{DOMAIN}")
    configured(cloud, "http-01", "dns-01", hook=True)
    with failing(cloud.acme.hook):
        restart(cloud)
        assert is_public(cloud, f"{app}.{DOMAIN}"), "it has its own until the wildcard is there"
        wait_until(lambda: report(cloud)["status"] == "failing", "the command's failure")
        failed_often(cloud, f"*.{DOMAIN}")
        create(cloud, "sixth-own")
        cloud.api("POST", "/admin/domain/check")
        assert names_of(until_public(cloud, f"sixth-own.{DOMAIN}")) == [f"sixth-own.{DOMAIN}"], "by http meanwhile"
        told = report(cloud)
        assert (told["kind"], told["status"], told["troubles"][0]["code"]) == ("names", "failing", "acme_dnsHook")
        cloud.api("DELETE", "/apps/sixth-own")
    cloud.api("POST", "/admin/domain/check")
    wait_until(lambda: report(cloud)["kind"] == "wildcard", "the wildcard, once the command is mended", timeout=20)
    create(cloud, "fifth-own")
    wildcard = until_public(cloud, f"fifth-own.{DOMAIN}")
    assert names_of(wildcard) == [f"*.{DOMAIN}"]
    assert cloud.acme.hook_log()[-2:] == ["present apps.zone.example.net", "cleanup apps.zone.example.net"]
    restart(cloud)
    wait_until(lambda: served(cloud, f"{app}.{DOMAIN}") == wildcard, "one certificate for all")
    assert served(cloud, f"nobody.{DOMAIN}") == wildcard != before
    cloud.api("DELETE", "/apps/fifth-own")
    told = report(cloud)
    assert (told["kind"], told["status"]) == ("wildcard", "active")
