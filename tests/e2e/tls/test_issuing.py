"""Certificates issued by a real ACME server, which checks each name in earnest: over HTTP, by TLS, in DNS."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import threading
from typing import Any

import httpx2
import pytest
from cryptography import x509
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.tls.conftest import DOMAIN, TlsCloud, ask, config, upload
from tests.e2e.tls.made import self_made


def detail(cloud: TlsCloud, app: str, host: str) -> dict[str, Any]:
    answer = cloud.api("GET", f"/apps/{app}/certificates/{host}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def request(cloud: TlsCloud, app: str, host: str) -> None:
    answer = cloud.api("POST", f"/apps/{app}/certificates/acme", json={"hostname": host})
    assert answer.status_code == 201, answer.text


def until_issued(cloud: TlsCloud, app: str, host: str) -> dict[str, Any]:
    def issued() -> dict[str, Any] | None:
        found = detail(cloud, app, host)
        return found if found["status"] == "active" else None

    try:
        return dict(wait_until(issued, f"a certificate for {host}", timeout=40))
    except AssertionError as error:
        raise AssertionError(f"{error}: {detail(cloud, app, host)}") from None


def served(cloud: TlsCloud, host: str) -> x509.Certificate:
    """The certificate that the edge shows, verified with the authority's root."""
    assert cloud.acme is not None
    with cloud.connect(host, cloud.context(cloud.acme.root)) as connection:
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)


def set_challenges(cloud: TlsCloud, *ways: str) -> None:
    """Let names be proven in these ways only; roostd is killed to read it."""
    assert cloud.acme is not None
    cloud.configure(cloud.acme.settings() + f"challenges = {json.dumps(list(ways))}\n")
    restart(cloud)


def restart(cloud: TlsCloud) -> None:
    pid = cloud.roostd_pid
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return cloud.roostd_pid != pid
        except (httpx2.TransportError, KeyError):
            return False

    wait_until(is_back, "the next roostd")


def test_http_for_an_app_that_sleeps_and_is_not_woken(cloud: TlsCloud) -> None:
    set_challenges(cloud, "http-01")
    app = "asleep"
    cloud.roost("apps", "create", app)
    try:
        body = {"config": config(force_https=True), "skip_launch": True}
        made = cloud.api("POST", f"/apps/{app}/machines", json=body)
        assert made.status_code == 200, made.text
        cloud.roost("certs", "add", "asleep.example.com", "-a", app)
        until_issued(cloud, app, "asleep.example.com")
        assert cloud.machines(app)[0]["state"] in ("created", "stopped"), "the check woke nobody"
        leaf = served(cloud, "asleep.example.com")
        assert isinstance(leaf.public_key(), object)
    finally:
        cloud.roost("apps", "destroy", app, "--yes", check=False)


def test_http_for_an_app_that_is_awake_and_passes_on_what_is_no_challenge(cloud: TlsCloud, app: str) -> None:
    request(cloud, app, "awake.example.com")
    found = until_issued(cloud, app, "awake.example.com")
    assert found["certificates"][0]["source"] == "fly" and found["certificates"][0]["issued"][0]["type"] == "ecdsa"
    assert cloud.acme is not None
    status, answer = cloud.fetch("awake.example.com", context=cloud.context(cloud.acme.root))
    assert status == 200 and json.loads(answer)["x-forwarded-proto"] == "https"
    path = "/.well-known/acme-challenge/none-of-ours"
    assert cloud.get(app, path, headers={"Host": "awake.example.com"}).json()["path"] == path


def test_tls_alpn_and_a_wildcard_by_dns(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    set_challenges(cloud, "tls-alpn-01", "dns-01")
    request(cloud, app, "alpn.example.com")
    request(cloud, app, "*.many.example.com")
    until_issued(cloud, app, "alpn.example.com")
    until_issued(cloud, app, "*.many.example.com")
    served(cloud, "alpn.example.com")
    served(cloud, "a.many.example.com")
    record = "_acme-challenge.many.example.com"
    calls = [line for line in cloud.acme.hook_log() if line.endswith(record)]
    assert calls == [f"present {record}", f"cleanup {record}"]


def test_an_own_certificate_wins_over_an_issued_one(cloud: TlsCloud, app: str) -> None:
    request(cloud, app, "both.example.com")
    until_issued(cloud, app, "both.example.com")
    issued = served(cloud, "both.example.com")
    chain, key = self_made("both.example.com")
    upload(cloud, app, "both.example.com", chain, key)

    def shows_own() -> bool:
        try:
            return cloud.fetch("both.example.com", context=cloud.context(chain))[0] == 200
        except ssl.SSLError:
            return False

    wait_until(shows_own, "the own certificate", timeout=5)
    assert cloud.api("DELETE", f"/apps/{app}/certificates/both.example.com/custom").status_code == 200

    def shows_issued() -> bool:
        try:
            return served(cloud, "both.example.com") == issued
        except ssl.SSLError:
            return False

    wait_until(shows_issued, "the issued certificate", timeout=5)


def test_a_name_that_can_not_be_checked_says_why_and_is_tried_again(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    management = f"http://127.0.0.1:{cloud.acme.dns_management}"
    name = {"host": "wrong.example.com."}
    httpx2.post(f"{management}/set-servfail", json=name, trust_env=False).raise_for_status()
    request(cloud, app, "wrong.example.com")

    def trouble() -> list[dict[str, Any]]:
        found = detail(cloud, app, "wrong.example.com")["validation_errors"]
        return [each for each in found if each["code"].startswith("acme_")]

    assert "wrong.example.com" in wait_until(trouble, "the reason")[0]["remediation"]
    httpx2.post(f"{management}/clear-servfail", json=name, trust_env=False).raise_for_status()
    cloud.roost("certs", "check", "wrong.example.com", "-a", app)  # not only after the pause
    until_issued(cloud, app, "wrong.example.com")


@pytest.mark.parametrize("step", ["acme.answered", "acme.finalized"])
def test_roostd_killed_in_an_order_goes_on_with_it(cloud: TlsCloud, app: str, step: str) -> None:
    host = f"{step.replace('.', '-')}.example.com"
    pid = cloud.roostd_pid
    (cloud.home / "fault").write_text(step)
    request(cloud, app, host)
    wait_until(lambda: not (cloud.home / "fault").exists(), "the kill")

    def is_back() -> bool:
        try:
            return cloud.roostd_pid != pid
        except (httpx2.TransportError, KeyError):
            return False

    wait_until(is_back, "the next roostd")
    until_issued(cloud, app, host)
    served(cloud, host)


def test_renewal_under_load_fails_nobody(cloud: TlsCloud, app: str) -> None:
    assert cloud.acme is not None
    host = "renewed.example.com"
    request(cloud, app, host)
    until_issued(cloud, app, host)
    before = served(cloud, host)
    context = cloud.context(cloud.acme.root)
    stop, failures, done = threading.Event(), [], [0, 0]

    def keep_alive() -> None:
        try:
            with cloud.connect(host, context) as connection:
                while not stop.is_set():
                    assert ask(connection, host)[0] == 200
                    done[0] += 1
        except Exception as error:
            failures.append(error)

    def anew() -> None:
        while not stop.is_set():
            try:
                assert cloud.fetch(host, context=context)[0] == 200
                done[1] += 1
            except Exception as error:
                failures.append(error)
                return

    load = [threading.Thread(target=each) for each in (keep_alive, anew)]
    for thread in load:
        thread.start()
    try:
        with sqlite3.connect(cloud.home / "state.db", timeout=10) as database:
            database.execute(
                "UPDATE certificates SET issued = json_set(issued, '$.renew_at', 1.0) WHERE hostname = ?", (host,)
            )
        restart(cloud)  # it looks at once
        wait_until(lambda: served(cloud, host) != before, "the renewal", timeout=40)
        seen = list(done)
        wait_until(lambda: done[0] > seen[0] + 20 and done[1] > seen[1] + 5, "load after it")
    finally:
        stop.set()
        for thread in load:
            thread.join(20)
    assert not failures, failures
    assert cloud.fetch(f"{app}.{DOMAIN}")[0] == 200


def test_no_key_is_in_the_log_or_readable_by_others(cloud: TlsCloud) -> None:
    for path in (each for each in (cloud.home / "log").rglob("*") if each.is_file()):
        assert b"PRIVATE KEY" not in path.read_bytes(), path
    with sqlite3.connect(cloud.home / "state.db") as database:
        assert "PRIVATE KEY" not in "".join(database.iterdump())
