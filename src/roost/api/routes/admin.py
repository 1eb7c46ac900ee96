"""The operator's calls."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, ThePrincipal, documented
from roost.control.contract import ADMIN
from roost.model.errors import Forbidden

router = APIRouter(prefix="/v1/admin", route_class=GuardedRoute, dependencies=[documented], tags=["admin"])


@router.post("/rotate-keys")
def rotate_keys(control: TheControl, principal: ThePrincipal) -> dict[str, Any]:
    """Replace the key that encrypts the keys of all secrets; machines and tokens notice nothing."""
    if principal.role != ADMIN:
        raise Forbidden("only an admin of the cloud may rotate its keys", hint="use the token of `roost up`")
    done = control.admin.rotate_keys()
    return {"key": done.key, "data_keys": done.data_keys, "values": done.values}
