"""Secrets: set and removed here, never shown."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import SecretValue, SecretValues
from roost.api.reading import AppName, SecretName
from roost.api.shapes import secret_to_json
from roost.model.errors import BadInput
from roost.model.names import check_secret_name

router = APIRouter(
    prefix="/v1/apps/{app}/secrets", route_class=GuardedRoute, dependencies=[documented], tags=["secrets"]
)


def _version(number: int) -> dict[str, Any]:
    return {"version": number, "Version": number}  # both are read by clients (reference, section 1.7)


@router.get("")
def list_secrets(app: AppName, control: TheControl, show_secrets: bool = False) -> dict[str, Any]:
    """List names and digests."""
    if show_secrets:
        raise BadInput("show_secrets is not supported: a secret's value is only seen by the app's machines")
    return {"secrets": [secret_to_json(secret) for secret in control.secrets.list(app)]}


@router.post("")
def set_secrets(app: AppName, body: SecretValues, control: TheControl) -> dict[str, Any]:
    """Set and (null) remove several secrets at once."""
    for name in body.values:
        check_secret_name(name)
    version = control.secrets.set(app, body.values)
    return {"secrets": [secret_to_json(secret) for secret in control.secrets.list(app)]} | _version(version)


@router.post("/{name}", status_code=201)
def set_secret(app: AppName, name: SecretName, body: SecretValue, control: TheControl) -> dict[str, Any]:
    """Set one secret."""
    return {"name": name} | _version(control.secrets.set(app, {name: body.value}))


@router.delete("/{name}")
def remove_secret(app: AppName, name: SecretName, control: TheControl) -> dict[str, Any]:
    """Remove one secret."""
    return _version(control.secrets.set(app, {name: None}))
