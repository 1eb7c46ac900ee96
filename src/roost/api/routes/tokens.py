"""Tokens: made and shown once, listed without their secret, revoked."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.access import Access
from roost.api.auth import GuardedRoute, TheAccess, TheControl, TheSubject, documented
from roost.api.identity_bodies import NewDeployToken, TokenWanted, lifetime
from roost.api.identity_shapes import token_to_json
from roost.api.reading import AppName
from roost.control.contract import Control
from roost.model.errors import Forbidden, NotFound
from roost.model.identity import Action, NewToken, Role, Token
from roost.plan.access import CLOUD, Scope, Target

router = APIRouter(prefix="/v1", route_class=GuardedRoute, dependencies=[documented], tags=["tokens"])


def _issue(control: Control, access: Access, wanted: NewToken) -> tuple[Token, str]:
    if access.principal.limited:
        raise Forbidden(
            "a token with limits makes no tokens: they would have fewer", hint="use the token that it was made from"
        )
    return control.tokens.issue(wanted)


def _shown(control: Control, token_id: str) -> Token:
    if not token_id.isalnum() or len(token_id) > 32:
        raise NotFound("token not found", hint="`roost tokens list` shows them")
    return control.tokens.get(token_id)


def _belongs_to(token: Token) -> Target:
    return Target(Scope.ORG, token.org) if token.org else CLOUD


@router.get("/tokens")
def list_tokens(control: TheControl, access: TheAccess, org_slug: str = "") -> dict[str, Any]:
    """List the tokens of the orgs whose admin asks, and the one in use."""
    found = [
        token
        for token in control.tokens.list()
        if (org_slug in ("", token.org))
        and (token.id == access.principal.token_id or access.may(Action.MANAGE, _belongs_to(token)))
    ]
    return {"tokens": [token_to_json(token) for token in found]}


@router.post("/tokens", status_code=201)
def create_token(body: TokenWanted, control: TheControl, access: TheAccess, subject: TheSubject) -> dict[str, Any]:
    """Make a token. The answer has it in `token`, this once."""
    wanted = body.wanted()
    access.require(Action.MANAGE, Target(Scope.ORG, wanted.org) if wanted.org else CLOUD)
    subject |= {"slug": wanted.org} if wanted.org else {}
    made, text = _issue(control, access, wanted)
    subject["token_id"] = made.id
    return token_to_json(made) | {"token": text}


@router.get("/tokens/{token_id}")
def get_token(token_id: str, control: TheControl) -> dict[str, Any]:
    """Return a token without its secret."""
    return token_to_json(_shown(control, token_id))


@router.delete("/tokens/{token_id}")
def revoke_token(token_id: str, control: TheControl, subject: TheSubject) -> dict[str, Any]:
    """Revoke a token, and with it all that were made from it by attenuation."""
    token = _shown(control, token_id)
    subject |= {"slug": token.org} if token.org else {}
    return token_to_json(control.tokens.revoke(token.id))


@router.post("/apps/{app}/deploy_token", status_code=201)
def create_deploy_token(
    app: AppName, control: TheControl, access: TheAccess, body: NewDeployToken | None = None
) -> dict[str, Any]:
    """Make a token that deploys one app."""
    body = body or NewDeployToken()
    org = control.apps.get(app).org
    wanted = NewToken(body.name or f"deploy {app}", Role.DEPLOYER, org, apps=(app,), lifetime=lifetime(body.expiry))
    made, text = _issue(control, access, wanted)
    return {"token": text, "id": made.id}
