"""The public certificates of the cloud's own domain as JSON objects. Pure. No private key has a way in here."""

from __future__ import annotations

from typing import Any

from roost.api.shapes import time_to_json
from roost.model.certificate import Attempt
from roost.model.domain_name import DomainName
from roost.plan.domain_report import Report

Json = dict[str, Any]


def report_to_json(report: Report) -> Json:
    """Return all that there is to say."""
    return {
        "domain": report.domain,
        "kind": report.way.value,
        "status": report.standing.value,
        "summary": report.summary,
        "names": [_name_to_json(each) for each in report.names],
        "dns_records": [
            {"name": each.name, "type": each.type, "value": each.value, "purpose": each.why} for each in report.records
        ],
        "troubles": [
            {"code": each.code, "message": each.message, "remediation": each.remediation} for each in report.troubles
        ],
        "new_names_this_week": report.used,
        "new_names_per_week": report.per_week,
        "next_attempt_at": time_to_json(report.next_at) if report.next_at else None,
    }


def standing_to_json(report: Report) -> Json:
    """Return it in a few words, for the cloud's status."""
    first = report.troubles[0] if report.troubles else None
    return {
        "kind": report.way.value,
        "status": report.standing.value,
        "summary": report.summary,
        "trouble": first.message if first else "",
        "remediation": first.remediation if first else "",
    }


def _name_to_json(name: DomainName) -> Json:
    issued, attempt = name.issued, name.attempt or Attempt()
    return {
        "hostname": name.hostname,
        "app": name.app,
        "issuer": issued.issuer if issued else "",
        "expires_at": time_to_json(issued.expires_at) if issued else None,
        "renew_at": time_to_json(issued.renew_at) if issued else None,
        "next_attempt_at": time_to_json(attempt.next_at) if attempt.next_at else None,
        "error": attempt.error,
        "message": attempt.message,
        "failures": attempt.failures,
    }
