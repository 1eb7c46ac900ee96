"""What `roost certs show` prints: what is missing, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from roost.cli.certs import _show

WANTED = {
    "a": ["192.0.2.7"], "aaaa": [], "cname": "shop.cloud.example",
    "acme_challenge": {"name": "_acme-challenge.shop.example", "target": "shop.example.7.acme.cloud.example"},
    "ownership": {"name": "_fly-ownership.shop.example", "app_value": "app-7", "org_value": "org-a"},
}  # fmt: skip
UNPROVEN = {"dns_configured": False, "ownership_txt_configured": False}


def shown(capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    usual = {
        "hostname": "shop.example", "configured": True, "acme_requested": True, "status": "active", "certificates": [],
        "validation": UNPROVEN, "dns_requirements": WANTED, "validation_errors": [], "rate_limited_until": None,
        "checked_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    _show(usual | more, as_json=False)
    return capsys.readouterr().out


def entry(until: str, **more: str) -> list[dict[str, Any]]:
    return [{"source": "fly", "status": "active", "issued": [{"type": "ecdsa", "expires_at": until}], **more}]


def test_where_all_is_well_there_is_no_record_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    entries = entry("2999-01-02T00:00:00Z", renews_at="2998-10-02T00:00:00Z")
    text = shown(capsys, certificates=entries)
    assert text == "shop.example: active\n  by ACME: ecdsa until 2999-01-02, renewed about 2998-10-02 (active)\n"


def test_what_leads_elsewhere_has_both_ways_and_says_of_when_that_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, configured=False, status="pending_ownership")
    assert "shop.example. CNAME shop.cloud.example." in text and "shop.example. A 192.0.2.7" in text
    assert '_fly-ownership.shop.example. TXT "app-7"' in text
    assert "d ago: `roost certs check` asks again" in text
    proven = shown(capsys, configured=False, status="active", checked_at="")
    assert "CNAME shop.cloud.example." in proven and "TXT" not in proven and "asks again" not in proven


def test_a_wildcard_that_waits_may_be_delegated(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {"hostname": "*.shop.example", "status": "pending_validation"}
    assert "_acme-challenge.shop.example. CNAME" in shown(capsys, **waiting)
    for more in ({"acme_requested": False}, {"status": "active"}, {"validation": UNPROVEN | {"dns_configured": True}}):
        assert "CNAME" not in shown(capsys, **waiting | more)


def test_what_has_expired_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ecdsa until 2020-01-02 (expired)" in shown(capsys, certificates=entry("2020-01-02T00:00:00Z"))
