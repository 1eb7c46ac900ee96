"""Network policies, and addresses of apps."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import NewIpAssignment, NewNetworkPolicy
from roost.api.reading import AppName
from roost.api.shapes import time_to_json
from roost.model.errors import NotFound
from roost.model.ip_assignment import IpAssignment, is_private
from roost.model.network_policy import (
    NetworkPolicy,
    check_policy_id,
    check_policy_name,
    read_rules,
    read_selector,
    rules_to_json,
    selector_to_json,
)

router = APIRouter(prefix="/v1/apps/{app}", route_class=GuardedRoute, dependencies=[documented], tags=["networks"])


def _policy(policy_id: Annotated[str, Path(json_schema_extra={"pattern": "^np_[0-9a-f]{16}$"})]) -> str:
    return check_policy_id(policy_id)


PolicyId = Annotated[str, Depends(_policy)]


def policy_to_json(policy: NetworkPolicy) -> dict[str, Any]:
    """Return a network policy."""
    return {
        "id": policy.id,
        "name": policy.name,
        "selector": selector_to_json(policy.selector),
        "rules": rules_to_json(policy.rules),
        "created_at": time_to_json(policy.created_at),
    }


def assignment_to_json(assignment: IpAssignment) -> dict[str, Any]:
    """Return an IP assignment. A server's own is shared, and none is for calls to the outside."""
    return {
        "ip": assignment.ip,
        "region": assignment.region,
        "service_name": assignment.service_name,
        "shared": not is_private(assignment.ip),
        "egress": False,
        "created_at": time_to_json(assignment.created_at),
    }


@router.get("/network_policies")
def list_network_policies(app: AppName, control: TheControl) -> list[dict[str, Any]]:
    """List the app's network policies, oldest first."""
    return [policy_to_json(policy) for policy in control.network_policies.list(app)]


@router.post("/network_policies", status_code=201)
def create_network_policy(app: AppName, body: NewNetworkPolicy, control: TheControl) -> dict[str, Any]:
    """Make a network policy; it holds for machines that run, too."""
    name, selector, rules = check_policy_name(body.name), read_selector(body.selector), read_rules(body.rules)
    return policy_to_json(control.network_policies.create(app, name, selector, rules))


@router.get("/network_policies/{policy_id}")
def get_network_policy(app: AppName, policy_id: PolicyId, control: TheControl) -> dict[str, Any]:
    """Return a network policy."""
    return policy_to_json(control.network_policies.get(app, policy_id))


@router.delete("/network_policies/{policy_id}", status_code=204)
def destroy_network_policy(app: AppName, policy_id: PolicyId, control: TheControl) -> Response:
    """Remove a network policy."""
    control.network_policies.destroy(app, policy_id)
    return Response(status_code=204)


@router.get("/ip_assignments")
def list_ip_assignments(app: AppName, control: TheControl) -> dict[str, Any]:
    """List the addresses that were assigned to the app."""
    return {"ips": [assignment_to_json(found) for found in control.ip_assignments.list(app)]}


@router.post("/ip_assignments")
def create_ip_assignment(app: AppName, body: NewIpAssignment, control: TheControl) -> dict[str, Any]:
    """Assign an address to the app."""
    made = control.ip_assignments.create(app, body.type, region=body.region, service_name=body.service_name)
    return assignment_to_json(made)


@router.delete("/ip_assignments/{ip}", status_code=204)
def destroy_ip_assignment(app: AppName, ip: str, control: TheControl) -> Response:
    """Take an address from the app."""
    if len(ip) > 45 or not ip.isascii() or not ip.isprintable():  # the longest an IPv6 address can be
        raise NotFound("IP assignment not found", hint=f"`roost ips list -a {app}` shows them")
    control.ip_assignments.destroy(app, ip)
    return Response(status_code=204)
