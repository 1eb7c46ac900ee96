"""Tokens for the use of secret keys: what a service is given that shall encrypt or sign, and do nothing else."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from roost.api.auth import GuardedRoute, TheControl, documented, tokens_of
from roost.api.inside import source_machine
from roost.control.contract import Control
from roost.model.errors import BadInput
from roost.model.token_text import for_keys

router = APIRouter(route_class=GuardedRoute, dependencies=[documented], tags=["tokens"])


@router.post("/v1/tokens/kms", response_class=PlainTextResponse)
def kms_token(request: Request, control: TheControl) -> Response:
    """Return a token, as bare text, that uses secret keys for an hour: the one in use, weakened to that.

    A machine that asks through its own socket without a token gets one for the keys of its app.
    """
    return PlainTextResponse(_made(request, control), headers={"Cache-Control": "no-store"})


def _made(request: Request, control: Control) -> str:
    header = request.headers.get("authorization")
    if header is None:
        return control.tokens.for_keys(source_machine(request))
    tokens = tokens_of(header)
    if len(tokens) > 1:
        raise BadInput("several tokens are sent, and one is weakened", hint="send the one to weaken alone")
    return for_keys(tokens[0], time.time())
