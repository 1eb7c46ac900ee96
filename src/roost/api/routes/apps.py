"""Apps."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheAccess, TheControl, TheSubject, documented
from roost.api.bodies import NewApp
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName
from roost.api.shapes import app_status_to_json, app_to_json, release_to_json
from roost.control.contract import Control
from roost.model.app import App
from roost.model.identity import Action
from roost.model.names import check_app_name
from roost.plan.access import Scope, Target

router = APIRouter(prefix="/v1/apps", route_class=GuardedRoute, dependencies=[documented], tags=["apps"])


def _counted(app: App, control: Control) -> dict[str, Any]:
    return app_to_json(app, control.apps.machine_count(app.name), control.volumes.count(app.name))


@router.get("")
def list_apps(control: TheControl, access: TheAccess, org_slug: str | None = None) -> dict[str, Any]:
    """List the apps of an org, or all that the token sees."""
    apps = [_counted(app, control) for app in control.apps.list(org_slug) if access.sees(app.org, app.name)]
    return {"total_apps": len(apps), "apps": apps}


@router.post("", status_code=201)
def create_app(body: NewApp, control: TheControl, access: TheAccess, subject: TheSubject) -> dict[str, Any]:
    """Make an app."""
    name = check_app_name(body.chosen_name())
    subject |= {"app": name, "slug": body.org_slug}
    access.require(Action.WRITE, Target(Scope.APP, body.org_slug, name))
    return app_to_json(control.apps.create(name, body.org_slug, body.network), 0)


@router.get("/{app}")
def get_app(app: AppName, control: TheControl) -> dict[str, Any]:
    """Return an app."""
    return _counted(control.apps.get(app), control)


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
