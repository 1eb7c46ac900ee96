"""Certificates of an app's own host names: asked for, brought, checked in DNS, removed."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import AcmeCertificate, CustomCertificate
from roost.api.reading import AppName
from roost.api.shapes_certificates import certificate_to_json, records_to_json, summary_to_json
from roost.control.contract import Control
from roost.model.certificate import Certificate, check_hostname
from roost.model.errors import BadInput

router = APIRouter(
    prefix="/v1/apps/{app}/certificates", route_class=GuardedRoute, dependencies=[documented], tags=["certificates"]
)
_PATTERN = r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


def _hostname(hostname: Annotated[str, Path(json_schema_extra={"pattern": _PATTERN})]) -> str:
    return check_hostname(hostname)


HostName = Annotated[str, Depends(_hostname)]


def _full(control: Control, certificate: Certificate) -> dict[str, Any]:
    return certificate_to_json(certificate, *control.certificates.judge(certificate))


@router.get("")
def list_certificates(
    app: AppName,
    control: TheControl,
    filter: Annotated[str, Query(max_length=253)] = "",
    cursor: Annotated[str, Query(max_length=400)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 25,
) -> dict[str, Any]:
    """List host names, those that hold `filter`, by name."""
    found, total = control.certificates.list(app, part=filter.lower(), after=_after(cursor), limit=limit + 1)
    page = found[:limit]
    following = base64.urlsafe_b64encode(page[-1].hostname.encode()).decode() if len(found) > limit else ""
    shown = [summary_to_json(each, control.certificates.judge(each)[1]) for each in page]
    return {"certificates": shown, "next_cursor": following, "total_count": total}


def _after(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        raise BadInput("cursor is none that a listing gave", hint="send next_cursor as it came") from None


@router.post("/acme", status_code=201)
def request_certificate(app: AppName, body: AcmeCertificate, control: TheControl) -> dict[str, Any]:
    """Ask for a certificate for a host name."""
    return _full(control, control.certificates.request(app, body.hostname))


@router.post("/custom", status_code=201)
def upload_certificate(app: AppName, body: CustomCertificate, control: TheControl) -> dict[str, Any]:
    """Bring a certificate with its key, in place of an earlier one. The key is kept encrypted and never answered."""
    chain, key = body.parts()
    return _full(control, control.certificates.upload(app, body.hostname, chain, key))


@router.get("/{hostname}")
def get_certificate(app: AppName, hostname: HostName, control: TheControl) -> dict[str, Any]:
    """Return a host name, as the last check saw it."""
    return _full(control, control.certificates.get(app, hostname))


@router.post("/{hostname}/check")
def check_certificate(app: AppName, hostname: HostName, control: TheControl) -> dict[str, Any]:
    """Ask DNS now."""
    found = control.certificates.check(app, hostname)
    wanted, judged = control.certificates.judge(found)
    return certificate_to_json(found, wanted, judged) | {"dns_records": records_to_json(found.seen, wanted)}


@router.delete("/{hostname}", status_code=204)
def remove_certificate(app: AppName, hostname: HostName, control: TheControl) -> Response:
    """Remove a host name with all its certificates."""
    control.certificates.remove(app, hostname)
    return Response(status_code=204)


@router.delete("/{hostname}/acme")
def remove_acme_certificate(app: AppName, hostname: HostName, control: TheControl) -> dict[str, Any]:
    """Ask no longer for a certificate; one that was brought stays."""
    return _full(control, control.certificates.remove_acme(app, hostname))


@router.delete("/{hostname}/custom")
def remove_custom_certificate(app: AppName, hostname: HostName, control: TheControl) -> dict[str, Any]:
    """Remove the certificate that was brought, and its key."""
    return _full(control, control.certificates.remove_custom(app, hostname))
