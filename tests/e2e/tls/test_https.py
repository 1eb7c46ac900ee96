"""https through real Envoy: the local authority's certificate, own certificates, names without any."""

from __future__ import annotations

import json
import os
import signal
import ssl

import httpx2
import pytest
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.tls.conftest import DOMAIN, TlsCloud, ask, config, upload
from tests.e2e.tls.made import self_made


def test_an_app_answers_by_https_verified_with_the_local_authority(cloud: TlsCloud, app: str) -> None:
    name = f"{app}.{DOMAIN}"
    with cloud.connect(name, cloud.context(alpn=("h2", "http/1.1"))) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.version() == "TLSv1.3"
    status, body = cloud.fetch(name)
    seen = json.loads(body)
    assert status == 200
    assert (seen["x-forwarded-proto"], seen["x-forwarded-ssl"]) == ("https", "on")
    assert seen["x-forwarded-port"] == seen["fly-forwarded-port"] == str(cloud.https_port)
    plain = cloud.get(app, headers={"Host": name}).json()
    assert (plain["x-forwarded-proto"], plain["x-forwarded-ssl"]) == ("http", "off")
    assert plain["fly-forwarded-port"] == str(cloud.http_port)
    older = cloud.context()
    with pytest.deprecated_call():  # as it should be; a client of 2010 knows no better
        older.minimum_version, older.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        cloud.connect(name, older)


def test_force_https_leads_there_and_no_further(cloud: TlsCloud) -> None:
    app = "forced"
    cloud.roost("apps", "create", app)
    try:
        made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config(force_https=True)})
        assert made.status_code == 200, made.text
        name = f"{app}.{DOMAIN}"

        def answer() -> httpx2.Response | None:
            got = cloud.get(app, "/a?b=c", headers={"Host": f"{name}:{cloud.http_port}"})
            return got if got.status_code == 301 else None

        moved = wait_until(answer, "the redirect")
        assert moved.headers["location"] == f"https://{name}:{cloud.https_port}/a?b=c"
        for machine in cloud.machines(app):
            assert cloud.api("POST", f"/apps/{app}/machines/{machine['id']}/suspend").status_code == 200
        asleep = cloud.get(app, "/a?b=c", headers={"Host": f"{name}:{cloud.http_port}"})
        assert (asleep.status_code, asleep.headers["location"]) == (301, moved.headers["location"])
        status, body = cloud.fetch(name, "/a?b=c")
        assert status == 200 and json.loads(body)["path"] == "/a?b=c"
    finally:
        cloud.roost("apps", "destroy", app, "--yes", check=False)


def test_an_own_certificate_is_served_at_once_replaced_and_taken_away(cloud: TlsCloud, app: str) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        cloud.connect("shop.example.com")  # no certificate: this name fails, fast
    chain, key = self_made("shop.example.com")
    upload(cloud, app, "shop.example.com", chain, key)
    with cloud.connect("shop.example.com", cloud.context(chain)) as kept:
        assert ask(kept, "shop.example.com")[0] == 200
        newer, newer_key = self_made("shop.example.com")
        upload(cloud, app, "shop.example.com", newer, newer_key)
        trusting_newer = cloud.context(newer)

        def is_served() -> bool:
            try:
                return cloud.fetch("shop.example.com", context=trusting_newer)[0] == 200
            except ssl.SSLError:
                return False

        wait_until(is_served, "the newer certificate", timeout=5)
        assert ask(kept, "shop.example.com")[0] == 200, "a connection outlives its certificate"
    assert cloud.fetch(f"{app}.{DOMAIN}")[0] == 200
    assert cloud.api("DELETE", f"/apps/{app}/certificates/shop.example.com").status_code == 204

    def is_gone() -> bool:
        try:
            cloud.connect("shop.example.com", trusting_newer).close()
        except (ssl.SSLError, OSError):
            return True
        return False

    wait_until(is_gone, "the removal", timeout=5)


def test_a_wildcard_covers_its_names(cloud: TlsCloud, app: str) -> None:
    chain, key = self_made("*.wild.example.com")
    upload(cloud, app, "*.wild.example.com", chain, key)
    try:
        for name in ("a.wild.example.com", "B.wild.example.com"):
            assert cloud.fetch(name, context=cloud.context(chain))[0] == 200
        with pytest.raises((ssl.SSLError, OSError)):
            cloud.connect("a.b.wild.example.com", cloud.context(chain))
    finally:
        cloud.api("DELETE", f"/apps/{app}/certificates/*.wild.example.com")


def test_envoy_serves_tls_while_roostd_is_dead(cloud: TlsCloud, app: str) -> None:
    chain, key = self_made("kept.example.com")
    upload(cloud, app, "kept.example.com", chain, key)
    assert cloud.fetch("kept.example.com", context=cloud.context(chain))[0] == 200
    pid = cloud.roostd_pid
    os.kill(pid, signal.SIGSTOP)  # not killed: nobody starts another one meanwhile
    try:
        for _ in range(5):
            assert cloud.fetch("kept.example.com", context=cloud.context(chain))[0] == 200
            assert cloud.fetch(f"{app}.{DOMAIN}")[0] == 200
    finally:
        os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return cloud.roostd_pid != pid
        except httpx2.TransportError:
            return False

    wait_until(is_back, "the next roostd")
    assert cloud.fetch("kept.example.com", context=cloud.context(chain))[0] == 200
    cloud.api("DELETE", f"/apps/{app}/certificates/kept.example.com")
