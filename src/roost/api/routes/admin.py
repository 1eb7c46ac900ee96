"""The operator's calls."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.shapes_domain import report_to_json

router = APIRouter(prefix="/v1/admin", route_class=GuardedRoute, dependencies=[documented], tags=["admin"])


@router.post("/rotate-keys")
def rotate_keys(control: TheControl) -> dict[str, Any]:
    """Replace the key that encrypts the keys of all secrets; machines and tokens notice nothing."""
    done = control.admin.rotate_keys()
    return {"key": done.key, "data_keys": done.data_keys, "values": done.values}


@router.get("/domain")
def domain_certificates(control: TheControl) -> dict[str, Any]:
    """Return how the public certificates of the cloud's own domain stand, what is wrong, and what DNS needs."""
    return report_to_json(control.admin.domain())


@router.post("/domain/check")
def check_domain(control: TheControl) -> dict[str, Any]:
    """Ask DNS now, and have the authority asked again at once."""
    return report_to_json(control.admin.check_domain())
