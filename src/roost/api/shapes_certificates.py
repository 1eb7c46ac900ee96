"""Certificates as JSON objects: the wire forms of the Fly Machines API. Pure. No private key has a way in here."""

from __future__ import annotations

from typing import Any

from roost.api.shapes import time_to_json
from roost.model.certificate import Certificate, Seen, Status
from roost.plan.certificates import Requirements, Verdict

Json = dict[str, Any]


def summary_to_json(certificate: Certificate, judged: Verdict) -> Json:
    """Return a row of a listing."""
    own = {"configured": judged.configured, "status": judged.status.value}
    return {
        "hostname": certificate.hostname,
        **own,
        **_acme(certificate, judged),
        "ownership_txt_configured": judged.ownership,
        "has_custom_certificate": certificate.custom is not None,
        "has_fly_certificate": certificate.issued is not None,
        "created_at": time_to_json(certificate.created_at),
        "updated_at": time_to_json(certificate.updated_at),
    }


def _acme(certificate: Certificate, judged: Verdict) -> Json:
    reached = judged.configured and certificate.base == certificate.hostname
    return {
        "acme_requested": certificate.acme_requested,
        "acme_alpn_configured": reached,
        "acme_http_configured": reached,
        "acme_dns_configured": judged.challenge,
    }


def certificate_to_json(certificate: Certificate, wanted: Requirements, judged: Verdict) -> Json:
    """Return a certificate, what DNS must have for it, and what is wrong."""
    reached = judged.configured and certificate.base == certificate.hostname
    return {
        "hostname": certificate.hostname,
        "configured": judged.configured,
        "acme_requested": certificate.acme_requested,
        "status": judged.status.value,
        "certificates": _entries(certificate, judged),
        "validation": {
            "dns_configured": judged.challenge,
            "alpn_configured": reached,
            "http_configured": reached,
            "ownership_txt_configured": judged.ownership,
        },
        "dns_requirements": requirements_to_json(wanted),
        "validation_errors": [
            {
                "code": trouble.code,
                "message": trouble.message,
                "remediation": trouble.remediation,
                "timestamp": time_to_json(certificate.checked_at or certificate.updated_at),
            }
            for trouble in judged.troubles
        ],
        "rate_limited_until": time_to_json(judged.rate_limited_until) if judged.rate_limited_until else None,
        "checked_at": time_to_json(certificate.checked_at),
        "created_at": time_to_json(certificate.created_at),
        "updated_at": time_to_json(certificate.updated_at),
    }


def _entries(certificate: Certificate, judged: Verdict) -> list[Json]:
    entries: list[Json] = []
    if certificate.custom is not None and judged.custom is not None:
        custom = certificate.custom
        expires_at = time_to_json(custom.expires_at)
        issued = {"type": custom.kind.value, "expires_at": expires_at, "certificate_authority": custom.issuer}
        entries.append(
            {
                "source": "custom",
                "status": judged.custom.value,
                "created_at": time_to_json(custom.created_at),
                "expires_at": expires_at,
                "issuer": custom.issuer,
                "issued": [issued],
            }
        )
    if judged.fly is not None:
        entries.append(_issued(certificate, judged.fly))
    return entries


def _issued(certificate: Certificate, status: Status) -> Json:
    issued = certificate.issued
    if issued is None:
        return {"source": "fly", "status": status.value, "issued": []}
    expires_at = time_to_json(issued.expires_at)
    one = {"type": issued.kind.value, "expires_at": expires_at, "certificate_authority": issued.issuer}
    return {
        "source": "fly",
        "status": status.value,
        "created_at": time_to_json(issued.created_at),
        "expires_at": expires_at,
        "renews_at": time_to_json(issued.renew_at),
        "issuer": issued.issuer,
        "issued": [one],
    }


def requirements_to_json(wanted: Requirements) -> Json:
    """Return the DNS records to add."""
    return {
        "a": list(wanted.a),
        "aaaa": list(wanted.aaaa),
        "cname": wanted.cname,
        "acme_challenge": {"name": wanted.challenge_name, "target": wanted.challenge_target},
        "ownership": {
            "name": wanted.ownership_name,
            "app_value": wanted.app_value,
            "org_value": wanted.org_value,
        },
    }


def records_to_json(seen: Seen | None, wanted: Requirements) -> Json:
    """Return what DNS has, as the last check found it."""
    seen = seen or Seen()
    proof = next((text for text in seen.ownership if text in (wanted.app_value, wanted.org_value)), "")
    return {
        "a": list(seen.a),
        "aaaa": list(seen.aaaa),
        "cname": list(seen.cname),
        "acme_challenge_cname": seen.challenge,
        "ownership_txt": proof or next(iter(seen.ownership), ""),
        "resolved_addresses": [*seen.a, *seen.aaaa],
    }
