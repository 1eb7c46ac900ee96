"""Orgs and their members."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheAccess, TheControl, TheSubject, documented
from roost.api.identity_bodies import NewMember, NewOrg
from roost.api.identity_shapes import member_to_json, org_to_json
from roost.model.identity import Role, check_org

router = APIRouter(prefix="/v1/orgs", route_class=GuardedRoute, dependencies=[documented], tags=["orgs"])


def _org(slug: Annotated[str, Path(json_schema_extra={"pattern": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"})]) -> str:
    return check_org(slug)


Slug = Annotated[str, Depends(_org)]


@router.get("")
def list_orgs(control: TheControl, access: TheAccess) -> dict[str, Any]:
    """List the orgs that the token sees."""
    apps = [app for app in control.apps.list() if access.sees(app.org, app.name)]
    found = [org for org in control.orgs.list() if access.sees(org.slug)]
    return {"orgs": [org_to_json(org, apps=sum(app.org == org.slug for app in apps)) for org in found]}


@router.post("", status_code=201)
def create_org(body: NewOrg, control: TheControl, subject: TheSubject) -> dict[str, Any]:
    """Make an org."""
    subject["slug"] = check_org(body.chosen_slug())
    return org_to_json(control.orgs.create(subject["slug"], body.name), apps=0)


@router.get("/{slug}")
def get_org(slug: Slug, control: TheControl) -> dict[str, Any]:
    """Return an org with its members."""
    members = [member_to_json(member) for member in control.orgs.members(slug)]
    return org_to_json(control.orgs.get(slug), apps=len(control.apps.list(slug))) | {"members": members}


@router.delete("/{slug}", status_code=204, response_class=Response)
def destroy_org(slug: Slug, control: TheControl) -> Response:
    """Remove an org without apps: its members and tokens go too."""
    control.orgs.destroy(slug)
    return Response(status_code=204)


@router.get("/{slug}/members")
def list_members(slug: Slug, control: TheControl) -> dict[str, Any]:
    """List an org's members."""
    return {"members": [member_to_json(member) for member in control.orgs.members(slug)]}


@router.post("/{slug}/members", status_code=201)
def set_member(slug: Slug, body: NewMember, control: TheControl, subject: TheSubject) -> dict[str, Any]:
    """Add a member, or change its role."""
    subject |= {"user": body.user, "role": body.role}
    return member_to_json(control.orgs.set_member(slug, body.user, Role(body.role)))


@router.delete("/{slug}/members/{user}", status_code=204, response_class=Response)
def remove_member(slug: Slug, user: str, control: TheControl) -> Response:
    """Remove a member: its tokens see the org no more."""
    control.orgs.remove_member(slug, user)
    return Response(status_code=204)
