"""Numbers of machines that follow their load: policies, how they stand, and the log of decisions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies_autoscale import NewAutoscale
from roost.api.reading import AppName
from roost.api.shapes import time_to_json
from roost.control.contract_autoscale import GroupState
from roost.model.autoscale import Decision, policy_to_json
from roost.model.errors import BadInput

router = APIRouter(
    prefix="/v1/apps/{app}/autoscale", route_class=GuardedRoute, dependencies=[documented], tags=["autoscale"]
)


def _group(group: Annotated[str, Path(json_schema_extra={"pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$"})]) -> str:
    if not (0 < len(group) <= 63 and group.isascii() and group.replace("-", "_").isidentifier() | group[:1].isdigit()):
        raise BadInput(f"{group[:40]!r} is not the name of a process group", hint="`roost scale show` shows them")
    return group


Group = Annotated[str, Depends(_group)]


def group_to_json(state: GroupState) -> dict[str, Any]:
    """Return a policy and how its group is now."""
    policy = state.policy.policy
    return {
        "group": state.policy.group,
        "enabled": policy is not None,
        "origin": state.policy.origin,
        "policy": None if policy is None else policy_to_json(policy),
        "machines": state.machines,
        "running": state.running,
        "made": state.made,
        "wanted": state.wanted,
        "why": state.why,
        "held": state.held,
        "seen": state.seen,
    }


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """Return one entry of the log."""
    return {
        "id": decision.id,
        "at": time_to_json(decision.at),
        "group": decision.group,
        "action": decision.action,
        "seen": dict(decision.seen),
        "machines": decision.machines,
        "wanted": decision.wanted,
        "why": decision.why,
        "state": decision.state,
        "done": decision.outcome,
        "ended_at": time_to_json(decision.ended_at) if decision.ended_at else None,
    }


@router.get("")
def show_autoscale(
    app: AppName, control: TheControl, limit: Annotated[int, Query(ge=0, le=200)] = 50
) -> dict[str, Any]:
    """Return the app's policies, how each stands now, and the latest decisions, newest first."""
    groups = [group_to_json(state) for state in control.autoscaling.groups(app)]
    decisions = [decision_to_json(decision) for decision in control.autoscaling.decisions(app, limit)]
    return {"app": app, "groups": groups, "decisions": decisions}


@router.put("/{group}")
def set_autoscale(app: AppName, group: Group, body: NewAutoscale, control: TheControl) -> dict[str, Any]:
    """Set a process group's policy, until a deploy whose roost.toml names the group."""
    return group_to_json(control.autoscaling.set(app, group, body.policy()))


@router.delete("/{group}")
def switch_autoscale_off(app: AppName, group: Group, control: TheControl) -> dict[str, Any]:
    """Leave a process group's machines as they are from now on, until a deploy whose roost.toml names the group."""
    return group_to_json(control.autoscaling.off(app, group))
