"""Identity tokens of machines (OpenID Connect), and the published keys to check them with."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import PlainTextResponse, Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import OidcToken
from roost.api.errors import Json
from roost.api.inside import source_machine
from roost.model.errors import Forbidden

router = APIRouter(tags=["oidc"])
guarded = APIRouter(route_class=GuardedRoute, dependencies=[documented], tags=["oidc"])
_FRESH = {"Cache-Control": "public, max-age=3600"}  # much less than a new key is published before it signs


@router.get("/.well-known/openid-configuration")
def configuration(control: TheControl) -> Json:
    """Return the discovery document. Needs no token."""
    return Json(control.oidc.configuration(), headers=_FRESH)


@router.get("/.well-known/jwks")
def keys(control: TheControl) -> Json:
    """Return the public keys. Needs no token."""
    return Json(control.oidc.keys(), headers=_FRESH)


_BODY = {
    "requestBody": {"content": {"application/json": {"schema": OidcToken.model_json_schema()}}},
}


@guarded.post("/v1/tokens/oidc", response_class=PlainTextResponse, openapi_extra=_BODY)
async def token(request: Request, control: TheControl) -> Response:
    """Return an identity token of the machine that asks, as bare text. The body's content type may be any."""
    machine_id = source_machine(request)
    if not machine_id:
        raise Forbidden(
            "only a machine gets an identity token, and only its own",
            hint="ask from inside the machine: curl --unix-socket /.fly/api -X POST http://flaps/v1/tokens/oidc",
        )
    body = await request.body()  # what `curl -d` sends says that it is a form
    try:
        asked = OidcToken.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise RequestValidationError([found | {"loc": ("body", *found["loc"])} for found in error.errors()]) from None
    made = await anyio.to_thread.run_sync(
        lambda: control.oidc.token(machine_id, audience=asked.aud, aws_principal_tags=asked.aws_principal_tags)
    )
    return PlainTextResponse(made, headers={"Cache-Control": "no-store"})
