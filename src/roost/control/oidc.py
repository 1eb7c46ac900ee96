"""Identity tokens of machines (OpenID Connect): signed here, checked by whoever the machine talks to.

State owned: none; the keys are `SigningKeys`'. A token says which machine of which app asked, for one audience,
and lives ten minutes. It is made for the machine that control names, never for one that a request names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from roost.control.core import Core
from roost.control.signing_keys import SigningKeys
from roost.model.app import App
from roost.model.errors import NotFound
from roost.model.machine import Machine

LIFETIME = 600  # seconds
ALGORITHM = "RS256"  # the one that every relying party knows
AWS_TAGS = "https://aws.amazon.com/tags"
_TAGGED = ("org_name", "app_name", "machine_id", "machine_name", "region", "image_digest")
_AWS_VALUE = 256  # characters of a tag's value, at most


class Oidc:
    """The verbs on identity tokens. `issuer` is the URL below which relying parties find the published keys."""

    def __init__(self, core: Core, keys: SigningKeys, issuer: str) -> None:
        self._core = core
        self._keys = keys
        self._issuer = issuer

    def token(self, machine_id: str, *, audience: str = "", aws_principal_tags: bool = False) -> str:
        """Return a signed token for a machine; the audience is the issuer unless given. Raises NotFound."""
        machine = self._core.store.machines.find(machine_id)
        if machine is None:
            raise NotFound("machine not found")
        app = self._core.store.apps.get(machine.app)
        now = int(self._core.now())
        claims = {
            "iss": self._issuer,
            "aud": audience or self._issuer,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
            "jti": self._core.new_ulid(),
            **about(app, machine),
        }
        if aws_principal_tags:
            claims[AWS_TAGS] = aws_tags(claims)
        key = self._keys.signing(self._core.now())
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.key_id})

    def configuration(self) -> dict[str, Any]:
        """Return the OpenID Connect discovery document."""
        return {
            "issuer": self._issuer,
            "jwks_uri": f"{self._issuer}/.well-known/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "scopes_supported": ["openid"],
            "claims_supported": [
                "app_id", "app_name", "aud", "exp", "iat", "image", "image_digest", "iss", "jti", "machine_id",
                "machine_name", "machine_version", "nbf", "org_id", "org_name", "region", "sub",
            ],
        }  # fmt: skip

    def keys(self) -> dict[str, Any]:
        """Return the public keys, as a JSON Web Key Set."""
        return {"keys": self._keys.published(self._core.now())}


def about(app: App, machine: Machine) -> dict[str, str]:
    """Return the claims that tell which machine it is (pure)."""
    return {
        "sub": f"{app.org}:{app.name}:{machine.name}",
        "app_id": app.id,
        "app_name": app.name,
        "org_id": app.org,
        "org_name": app.org,
        "machine_id": machine.id,
        "machine_name": machine.name,
        "machine_version": machine.instance_id,
        "region": machine.region,
        "image": machine.config.image,
        "image_digest": machine.image_digest,
    }


def aws_tags(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claim that AWS makes session tags of (pure)."""
    tags = {name: [str(claims[name])[:_AWS_VALUE]] for name in _TAGGED if claims.get(name)}
    return {"principal_tags": tags, "transitive_tag_keys": sorted(tags)}
