"""Secret keys: made, given and used here; only their public halves are ever answered."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import Ciphertext, GeneratedSecretKey, Message, NewSecretKey, Plaintext, SignedMessage
from roost.api.reading import AppName
from roost.api.routes.secrets import Version, require_version, version_to_json
from roost.api.shapes import time_to_json
from roost.model.errors import BadInput
from roost.model.secret_key import SecretKey, check_key_name, key_type


def _needs_version(app: AppName, control: TheControl, min_version: Version = None, version: Version = None) -> None:
    """Refuse to answer before the app's secrets have a version; clients name it in two ways."""
    require_version(control, app, version if min_version is None else min_version)


def _name(name: Annotated[str, Path(json_schema_extra={"pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"})]) -> str:
    return check_key_name(name)


KeyName = Annotated[str, Depends(_name)]
at_version = [Depends(_needs_version)]
router = APIRouter(
    prefix="/v1/apps/{app}/secretkeys", route_class=GuardedRoute, dependencies=[documented], tags=["secret keys"]
)


def key_to_json(key: SecretKey) -> dict[str, Any]:
    """Return a key; what is secret of it has no way out."""
    public = {"public_key": _text(key.public)} if key.public else {}
    times = {"created_at": time_to_json(key.created_at), "updated_at": time_to_json(key.updated_at)}
    return {"name": key.name, "type": key.type.value, **public, **times}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@router.get("", dependencies=at_version)
def list_secret_keys(
    app: AppName, control: TheControl, types: Annotated[list[str] | None, Query()] = None
) -> dict[str, Any]:
    """List keys: all, or those of the types named (repeated, or with commas)."""
    wanted = {key_type(word.strip()) for item in types or () for word in item.split(",") if word.strip()}
    found = control.secret_keys.list(app)
    return {"secret_keys": [key_to_json(key) for key in found if not wanted or key.type in wanted]}


@router.get("/{name}", dependencies=at_version)
def get_secret_key(app: AppName, name: KeyName, control: TheControl) -> dict[str, Any]:
    """Return a key."""
    return key_to_json(control.secret_keys.get(app, name))


@router.post("/{name}", status_code=201)
def set_secret_key(app: AppName, name: KeyName, body: NewSecretKey, control: TheControl) -> dict[str, Any]:
    """Store a key that was made elsewhere, in place of what has its name."""
    key, version = control.secret_keys.set(app, name, key_type(body.type), body.value)
    return key_to_json(key) | version_to_json(version)


@router.post("/{name}/generate", status_code=201)
def generate_secret_key(app: AppName, name: KeyName, body: GeneratedSecretKey, control: TheControl) -> dict[str, Any]:
    """Make a random key."""
    key, version = control.secret_keys.generate(app, name, key_type(body.type))
    return key_to_json(key) | version_to_json(version)


@router.delete("/{name}")
def remove_secret_key(app: AppName, name: KeyName, control: TheControl) -> dict[str, Any]:
    """Remove a key for good: what it encrypted can't be read any more."""
    return version_to_json(control.secret_keys.remove(app, name))


@router.post("/{name}/encrypt", dependencies=at_version)
def encrypt(app: AppName, name: KeyName, body: Plaintext, control: TheControl) -> dict[str, Any]:
    """Encrypt with a key."""
    return {"ciphertext": _text(control.secret_keys.encrypt(app, name, body.plaintext, body.associated_data))}


@router.post("/{name}/decrypt", dependencies=at_version)
def decrypt(app: AppName, name: KeyName, body: Ciphertext, control: TheControl) -> dict[str, Any]:
    """Decrypt what the key encrypted."""
    return {"plaintext": _text(control.secret_keys.decrypt(app, name, body.ciphertext, body.associated_data))}


@router.post("/{name}/sign", dependencies=at_version)
def sign(app: AppName, name: KeyName, body: Message, control: TheControl) -> dict[str, Any]:
    """Sign with a key."""
    return {"signature": _text(control.secret_keys.sign(app, name, body.plaintext))}


@router.post("/{name}/verify", dependencies=at_version, status_code=204)
def verify(app: AppName, name: KeyName, body: SignedMessage, control: TheControl) -> Response:
    """Answer 204 for a signature that is the key's, 400 for any other."""
    if not control.secret_keys.verify(app, name, body.plaintext, body.signature):
        raise BadInput("signature is not this key's for this plaintext")
    return Response(status_code=204)
