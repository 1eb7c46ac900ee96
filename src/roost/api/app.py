"""The API as an ASGI application: everything of `docs/api.md`, put together.

State: what it is given, in `app.state`: control, limits, metrics, the threads for long calls. The
invariant: route, then token, then body, then control; nothing else decides anything here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from roost.api import console, proxy
from roost.api.errors import Json, on_http_exception, on_roost_error, on_validation_error
from roost.api.front import Front
from roost.api.idempotency import Idempotency
from roost.api.limits import Limits
from roost.api.long_calls import LongCalls
from roost.api.metrics import ApiMetrics
from roost.api.published import publish
from roost.api.rates import Rates, RateSettings
from roost.api.routes import (
    admin,
    app_metrics,
    apps,
    audit,
    autoscale,
    certificates,
    cloud,
    deploys,
    images,
    kms,
    logs,
    machine_actions,
    machine_inside,
    machine_leases,
    machine_metadata,
    machine_runs,
    machines,
    networks,
    oidc,
    operations,
    orgs,
    platform,
    public,
    requests,
    secret_keys,
    secrets,
    sources,
    token_checks,
    tokens,
    volumes,
)
from roost.control.contract import Control, Replays
from roost.model.errors import RoostError

_ROUTES = (
    public,
    admin,
    cloud,
    apps,
    audit,
    app_metrics,
    machines,
    machine_actions,
    machine_inside,
    machine_leases,
    machine_metadata,
    machine_runs,
    platform,
    orgs,
    token_checks,
    kms,
    tokens,
    volumes,
    networks,
    secrets,
    secret_keys,
    certificates,
    logs,
    requests,
    sources,
    deploys,
    autoscale,
    operations,
    images,
    oidc,
    console,
    proxy,
)


def create_api(
    control: Control,
    *,
    allowed_hosts: Iterable[str] = (),
    limits: Limits | None = None,
    replays: Replays | None = None,
    rates: RateSettings | None = None,
    version: str = "0.1.0",
) -> FastAPI:
    """Return the API over `control`.

    Requests are answered under loopback names and `allowed_hosts` only. `replays` keeps answers for
    Idempotency-Key (None: in memory), `rates` says how often one may call (None: as often as one likes).
    `version` is Roost's, for the published OpenAPI document. Serve it on the event loop that control's async
    methods belong to.
    """
    app = FastAPI(
        title="Roost",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        default_response_class=Json,
    )
    app.state.control = control
    app.state.limits = limits or Limits()
    app.state.long_calls = LongCalls(app.state.limits)
    app.state.idempotency = Idempotency(replays)
    app.state.rates = Rates(rates or RateSettings())
    app.state.metrics = ApiMetrics(control)
    for module in _ROUTES:
        app.include_router(module.router)
    app.include_router(sources.upload_router)
    app.include_router(oidc.guarded)
    _answer_unknown_paths(app)
    app.add_exception_handler(RoostError, on_roost_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_middleware(Front, allowed_hosts=tuple(allowed_hosts), metrics=app.state.metrics, note=control.audit.record)
    publish(app)
    return app


def _answer_unknown_paths(app: FastAPI) -> None:
    """Answer WebSocket handshakes on unknown paths with the 404 that other requests get."""
    otherwise: Any = app.router.default

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await console.refuse_unknown(WebSocket(scope, receive, send))
        else:
            await otherwise(scope, receive, send)

    app.router.default = default
