"""Secrets: set and removed here, never shown."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import SecretValue, SecretValues
from roost.api.reading import AppName, SecretName
from roost.api.shapes import secret_to_json
from roost.control.contract import Control
from roost.model.errors import BadInput, FailedPrecondition
from roost.model.names import check_secret_name

router = APIRouter(
    prefix="/v1/apps/{app}/secrets", route_class=GuardedRoute, dependencies=[documented], tags=["secrets"]
)


Version = Annotated[int | None, Query(ge=0, le=2**63 - 1)]


def version_to_json(number: int) -> dict[str, Any]:
    """Return the version of an app's secrets under both names that clients read (reference, section 1.7)."""
    return {"version": number, "Version": number}


def require_version(control: Control, app: str, wanted: int | None, name: str = "min_version") -> None:
    """Raise FailedPrecondition when the app's secrets have not come to the version that the caller knows of."""
    version = control.apps.get(app).secrets_version
    if wanted is not None and version < wanted:
        raise FailedPrecondition(
            f"{name} is {wanted} and the secrets of {app} have version {version}",
            hint="send the version that setting the secrets answered",
        )


def _refuse_values(show_secrets: bool) -> None:
    if show_secrets:
        raise BadInput(
            "show_secrets is not supported: a secret's value is only seen by the app's machines",
            hint="leave show_secrets away; digest tells whether a value is the one you think",
        )


@router.get("")
def list_secrets(
    app: AppName,
    control: TheControl,
    min_version: Version = None,
    version: Version = None,
    show_secrets: bool = False,
) -> dict[str, Any]:
    """List names and digests. `version` is what some clients call min_version."""
    _refuse_values(show_secrets)
    require_version(control, app, min_version if version is None else version)
    return {"secrets": [secret_to_json(secret) for secret in control.secrets.list(app)]}


@router.post("")
def set_secrets(app: AppName, body: SecretValues, control: TheControl) -> dict[str, Any]:
    """Set and (null) remove several secrets at once."""
    for name in body.values:
        check_secret_name(name)
    version = control.secrets.set(app, body.values)
    return {"secrets": [secret_to_json(secret) for secret in control.secrets.list(app)]} | version_to_json(version)


@router.get("/{name}")
def get_secret(
    app: AppName, name: SecretName, control: TheControl, min_version: Version = None, show_secrets: bool = False
) -> dict[str, Any]:
    """Return a name and digest."""
    _refuse_values(show_secrets)
    require_version(control, app, min_version)
    return secret_to_json(control.secrets.get(app, name))


@router.post("/{name}", status_code=201)
def set_secret(app: AppName, name: SecretName, body: SecretValue, control: TheControl) -> dict[str, Any]:
    """Set one secret."""
    version = control.secrets.set(app, {name: body.value})
    return secret_to_json(control.secrets.get(app, name)) | version_to_json(version)


@router.delete("/{name}")
def remove_secret(app: AppName, name: SecretName, control: TheControl) -> dict[str, Any]:
    """Remove one secret."""
    return version_to_json(control.secrets.remove(app, name))
