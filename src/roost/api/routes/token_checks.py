"""What a token is and what it is good for: for services that are shown one and must decide themselves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from roost.api.access import Access
from roost.api.auditing import source_of
from roost.api.auth import GuardedRoute, TheControl, documented, tokens_of
from roost.api.identity_bodies import TokenAccess, TokenToAuthorize, TokenToCheck
from roost.api.identity_shapes import principal_to_json
from roost.api.shapes import org_number
from roost.control.contract import Control, Principal
from roost.model.errors import BadInput, RoostError, Unauthorized
from roost.model.identity import Action, check_org
from roost.model.names import check_app_name, check_machine_id
from roost.model.volume import check_volume_id
from roost.plan.access import Scope, Target

router = APIRouter(prefix="/v1/tokens", route_class=GuardedRoute, dependencies=[documented], tags=["tokens"])
_READ, _DELETE = 1, 8  # of the action's bits; write, create and control (2, 4, 16) are one here


@router.post("/authenticate")
def authenticate_token(body: TokenToCheck, control: TheControl) -> dict[str, Any]:
    """Say whose token a header holds; 401 when it is not valid."""
    return _verified(_who(control, body.header)[0])


@router.post("/authorize")
def authorize_token(body: TokenToAuthorize, request: Request, control: TheControl) -> dict[str, Any]:
    """Say whether a header's token may do something: 403 with the reason when it may not."""
    target, answer = _target(control, body.access)
    refused: RoostError | None = None
    for who in _who(control, body.header):
        access = Access(who, source_of(request.scope), target)
        try:
            for action in _actions(body.access, target):
                access.require(action, target)
        except RoostError as error:
            refused = refused or error
            continue
        return {"access": answer, "verified_token": _verified(who)}
    raise refused or Unauthorized("Authenticate: token validation error")


def _who(control: Control, header: str) -> list[Principal]:
    """Return whom the valid ones of a header's tokens stand for; raises Unauthorized when there are none."""
    found, refused = [], None
    tokens = tokens_of(header)
    for token in tokens:
        try:
            found.append(control.tokens.authenticate(token, [other for other in tokens if other is not token]))
        except Unauthorized as error:
            refused = refused or error
    if not found:
        raise refused or Unauthorized("Authenticate: token validation error")
    return found


def _verified(who: Principal) -> dict[str, Any]:
    kid = list(who.token_id.encode())
    return {"nonce": {"kid": kid}, "token_id": who.token_id, "tokens": principal_to_json(who)}


def _target(control: Control, wanted: TokenAccess) -> tuple[Target, dict[str, Any]]:
    """Return what the token is to act on, and how the answer names it."""
    if not wanted.app_name:
        if wanted.machine_id or wanted.volume_id or wanted.command:
            raise BadInput("access.app_name is missing: machines, volumes and commands belong to an app")
        if not wanted.org_slug:
            raise BadInput("access names nothing", hint="send org_slug or app_name")
        org = control.orgs.get(check_org(wanted.org_slug)).slug
        return Target(Scope.ORG, org), {"action": wanted.action, "orgid": org_number(org)}
    app = control.apps.get(check_app_name(wanted.app_name))
    if wanted.org_slug not in ("", app.org):
        raise BadInput(f"access.org_slug is not the org of {app.name}", hint="leave it out")
    if wanted.volume_id:
        control.volumes.get(app.name, check_volume_id(wanted.volume_id))
    machine = check_machine_id(wanted.machine_id) if wanted.machine_id else ""
    answer = {"action": wanted.action, "orgid": org_number(app.org), "appid": app.number}
    named = {"machine": machine, "volume": wanted.volume_id, "command": list(wanted.command)}
    return Target(Scope.APP, app.org, app.name, machine), answer | {key: value for key, value in named.items() if value}


def _actions(wanted: TokenAccess, target: Target) -> list[Action]:
    """Return what an action's bits are here. To delete an app is to manage it; nothing is to see it."""
    found = [Action.READ] if wanted.action & _READ or not wanted.action else []
    if wanted.command:
        found.append(Action.EXEC)
    changes = wanted.action & ~_READ
    whole = target.scope is Scope.ORG or not (wanted.machine_id or wanted.volume_id)
    if (changes & _DELETE and whole) or (changes and target.scope is Scope.ORG):
        found.append(Action.MANAGE)
    elif changes:
        found.append(Action.WRITE)
    return found
