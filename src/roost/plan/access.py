"""Whether a principal may do something, and why not (pure). The only place where that is decided.

A token of the cloud may act in every org; any other only in the orgs that it sees. Limits of a token (apps, a
machine, actions, addresses) only ever take away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network

from roost.model.identity import Action, Principal, Role

GRANTS: Mapping[Role, frozenset[Action]] = {
    Role.READER: frozenset({Action.READ}),
    Role.DEPLOYER: frozenset({Action.READ, Action.WRITE, Action.KEYS, Action.EXEC}),
    Role.ADMIN: frozenset(Action),
}


class Scope(StrEnum):
    """What a call is about."""

    CLOUD = "cloud"
    ANYWHERE = "anywhere"  # nothing in particular: what the answer holds is filtered, or the body names the org
    ORG = "org"
    LISTING = "listing"  # of things in an org, filtered by what the token sees
    APP = "app"


@dataclass(frozen=True, slots=True)
class Target:
    """What a call acts on. `org` is the app's when there is an `app`."""

    scope: Scope
    org: str = ""
    app: str = ""
    machine: str = ""


CLOUD = Target(Scope.CLOUD)
ANYWHERE = Target(Scope.ANYWHERE)


def may(who: Principal, action: Action, target: Target, source: str = "") -> bool:
    """Tell whether `who`, calling from the address `source`, may do it."""
    return not refusal(who, action, target, source)


def refusal(who: Principal, action: Action, target: Target, source: str = "") -> str:
    """Return why `who` may not do it, in words for the user; "" when it may."""
    for network in who.sources:
        if not within(source, network):
            return f"it may only be used from {network}"
    if who.actions is not None and action not in who.actions:
        return f"it is limited to the actions {', '.join(sorted(who.actions)) or 'none'}, and this is {action}"
    if action is Action.OPERATE or target.scope is Scope.CLOUD:
        return _cloud(who, action)
    return _role(who, action, target) or _limits(who, target)


def sees(who: Principal, org: str, app: str = "", source: str = "") -> bool:
    """Tell whether something of an org, or of an app in it, belongs in a listing for `who`."""
    if app and who.machine:  # an app's row shows no more of it than its machine's does
        return may(who, Action.READ, Target(Scope.APP, org, app, who.machine), source)
    return may(who, Action.READ, Target(Scope.APP if app else Scope.LISTING, org, app), source)


def within(source: str, network: str) -> bool:
    """Tell whether an address is in a network; an unknown address is in none."""
    try:
        found = ip_address(source)
        return (getattr(found, "ipv4_mapped", None) or found) in ip_network(network, strict=False)
    except ValueError:
        return False


def _cloud(who: Principal, action: Action) -> str:
    if who.orgs is not None:
        return "it belongs to an org, and this concerns the whole cloud"
    if who.apps is not None or who.machine:
        return "it is limited to some apps, and this concerns the whole cloud"
    return _granted(who.role, action)


def _role(who: Principal, action: Action, target: Target) -> str:
    if who.orgs is None:
        return _granted(who.role, action)
    if target.scope is Scope.ANYWHERE:
        refusals = [_granted(role, action) for role in who.orgs.values()]
        return "" if action is Action.READ or "" in refusals else (refusals or ["it sees no org"])[0]
    role = who.orgs.get(target.org)
    if role is None:
        return f"it does not see the org of {target.app}" if target.app else f"it does not see the org {target.org}"
    return _granted(role, action)


def _granted(role: str, action: Action) -> str:
    known = next((one for one in Role if one == role), None)
    return "" if known is not None and action in GRANTS[known] else f"its role is {str(role)!r}"


def _limits(who: Principal, target: Target) -> str:
    if target.scope in (Scope.ANYWHERE, Scope.LISTING):
        return ""
    if who.apps is not None and target.app not in who.apps:
        return f"it is limited to the apps {', '.join(sorted(who.apps)) or 'none'}"
    if who.machine and target.machine != who.machine:
        return f"it is limited to the machine {who.machine}"
    return ""
