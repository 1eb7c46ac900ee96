"""The operator's calls."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented

router = APIRouter(prefix="/v1/admin", route_class=GuardedRoute, dependencies=[documented], tags=["admin"])


@router.post("/rotate-keys")
def rotate_keys(control: TheControl) -> dict[str, Any]:
    """Replace the key that encrypts the keys of all secrets; machines and tokens notice nothing."""
    done = control.admin.rotate_keys()
    return {"key": done.key, "data_keys": done.data_keys, "values": done.values}
