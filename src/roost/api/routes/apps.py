"""Apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from roost.api.access import Access
from roost.api.auth import GuardedRoute, TheAccess, TheControl, TheSubject, documented
from roost.api.bodies import NewApp
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName
from roost.api.shapes import app_status_to_json, app_to_json, release_to_json
from roost.control.contract import Control
from roost.model.app import App
from roost.model.errors import BadInput, Forbidden
from roost.model.identity import PERSONAL, Action
from roost.model.names import check_app_name
from roost.plan.access import Scope, Target

router = APIRouter(prefix="/v1/apps", route_class=GuardedRoute, dependencies=[documented], tags=["apps"])


def _shown(app: App, control: Control, counts: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    machines, volumes = counts.get(app.name, (0, 0))
    return app_to_json(app, machines, volumes, domain=control.domain, network_cidr=control.network_cidr)


def _org_of(access: Access, named: str) -> str:
    """Return the org that a new app belongs to: the one named, or else the only one that the token can mean."""
    orgs = access.principal.orgs
    if named or orgs is None:
        return named or PERSONAL
    able = sorted(org for org in orgs if access.may(Action.WRITE, Target(Scope.APP, org)))
    if len(able) == 1:
        return able[0]
    if not able:
        raise Forbidden("the token may not make apps in any org", hint="use a token that may; `roost auth whoami`")
    raise BadInput(f"org_slug is missing, and the token sees several orgs: {', '.join(able)}", hint="name one of them")


@router.get("")
def list_apps(
    control: TheControl, access: TheAccess, org_slug: str | None = None, app_role: str = ""
) -> dict[str, Any]:
    """List the apps of an org, or all that the token sees; also those of one role only."""
    counts = control.apps.counts()
    apps = [
        _shown(app, control, counts)
        for app in control.apps.list(org_slug or None)
        if access.sees(app.org, app.name) and app_role in ("", app.role)
    ]
    return {"total_apps": len(apps), "apps": apps}


@router.post("", status_code=201)
def create_app(body: NewApp, control: TheControl, access: TheAccess, subject: TheSubject) -> dict[str, Any]:
    """Make an app."""
    name = check_app_name(body.chosen_name())
    subject["app"] = name
    org = subject["slug"] = _org_of(access, body.org_slug)
    access.require(Action.WRITE, Target(Scope.APP, org, name))
    return _shown(control.apps.create(name, org, body.network, body.app_role_id), control, {})


@router.get("/{app}")
def get_app(app: AppName, control: TheControl) -> dict[str, Any]:
    """Return an app."""
    counted = {app: (control.apps.machine_count(app), control.volumes.count(app))}
    return _shown(control.apps.get(app), control, counted)


@router.delete("/{app}", status_code=202)
async def destroy_app(app: AppName, control: TheControl, long_calls: TheLongCalls, force: bool = False) -> Response:
    """Remove an app and all it has."""
    await long_calls.run(lambda: control.apps.destroy(app, force=force))
    return Response(status_code=202)


@router.get("/{app}/status")
def app_status(app: AppName, control: TheControl) -> dict[str, Any]:
    """Return how an app is, and why."""
    return app_status_to_json(control.apps.status(app))


@router.get("/{app}/releases", tags=["deploys"])
def list_releases(app: AppName, control: TheControl) -> list[dict[str, Any]]:
    """List the releases, newest first."""
    return [release_to_json(release) for release in control.releases.list(app)]
