"""What each route is about, and whether who asks may do it: the one place in the API that maps calls to actions.

State: none; `plan.access` decides. A route is found by its method and path; what it acts on comes from the path's
parameters. Routes below an app need no entry here: GET reads the app, any other method writes to it. What has no
entry and is below neither an app nor an org is the operator's. A token that sees an app's org not at all gets 403
for the app (names are unique in the cloud, so 404 would not hide it), and 404 for an operation or a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from roost.control.contract import Control, Principal
from roost.model.errors import Forbidden, NotFound
from roost.model.identity import Action, check_org
from roost.model.names import check_app_name
from roost.plan.access import ANYWHERE, CLOUD, Scope, Target, may, refusal, sees

SAFE_METHODS = ("GET", "HEAD")
WEBSOCKET = "WEBSOCKET"
KEY_USES = ("encrypt", "decrypt", "sign", "verify")  # of a secret key, without seeing it
_APP = "/v1/apps/{app}"
_MACHINE = f"{_APP}/machines/{{machine_id}}"
_ORG = "/v1/orgs/{slug}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route does, and to what."""

    action: Action
    scope: Scope


_SPECIAL: Mapping[tuple[str, str], Rule] = {
    ("GET", "/v1/status"): Rule(Action.READ, Scope.ANYWHERE),
    ("GET", "/v1/apps"): Rule(Action.READ, Scope.ANYWHERE),  # filtered
    ("POST", "/v1/apps"): Rule(Action.WRITE, Scope.ANYWHERE),  # the body names the org: checked by `Access.require`
    ("DELETE", _APP): Rule(Action.MANAGE, Scope.APP),
    ("POST", f"{_APP}/deploy_token"): Rule(Action.MANAGE, Scope.APP),
    ("POST", f"{_MACHINE}/exec"): Rule(Action.EXEC, Scope.APP),
    **{("POST", f"{_APP}/secretkeys/{{name}}/{verb}"): Rule(Action.KEYS, Scope.APP) for verb in KEY_USES},
    (WEBSOCKET, f"{_MACHINE}/console"): Rule(Action.EXEC, Scope.APP),
    ("GET", "/v1/orgs"): Rule(Action.READ, Scope.ANYWHERE),  # filtered
    ("POST", "/v1/orgs"): Rule(Action.OPERATE, Scope.CLOUD),
    ("GET", f"{_ORG}/machines"): Rule(Action.READ, Scope.LISTING),  # filtered
    ("GET", f"{_ORG}/volumes"): Rule(Action.READ, Scope.LISTING),  # filtered
    ("GET", "/v1/operations"): Rule(Action.READ, Scope.ANYWHERE),  # filtered
    ("GET", "/v1/platform/regions"): Rule(Action.READ, Scope.ANYWHERE),
    ("GET", "/v1/platform/certificate_authority"): Rule(Action.READ, Scope.ANYWHERE),
    ("POST", "/v1/platform/placements"): Rule(Action.WRITE, Scope.ANYWHERE),
    ("POST", "/v1/sources"): Rule(Action.WRITE, Scope.ANYWHERE),
    ("POST", "/v1/sources/{source_id}/plan"): Rule(Action.WRITE, Scope.ANYWHERE),
    ("GET", "/v1/tokens"): Rule(Action.READ, Scope.ANYWHERE),  # filtered
    ("POST", "/v1/tokens"): Rule(Action.MANAGE, Scope.ANYWHERE),  # the body names the org, as above
    ("GET", "/v1/tokens/current"): Rule(Action.READ, Scope.ANYWHERE),
    ("POST", "/v1/tokens/authenticate"): Rule(Action.WRITE, Scope.ANYWHERE),  # tells of the token in the body only
    ("POST", "/v1/tokens/authorize"): Rule(Action.WRITE, Scope.ANYWHERE),  # the same
    ("POST", "/v1/tokens/kms"): Rule(Action.KEYS, Scope.ANYWHERE),  # weakens what is in use
    ("POST", "/v1/tokens/oidc"): Rule(Action.WRITE, Scope.ANYWHERE),  # for machines' own sockets only
    ("GET", "/v1/audit"): Rule(Action.READ, Scope.ANYWHERE),  # filtered
}


def rule_of(method: str, template: str) -> Rule:
    """Return what a route does. `template` is its path with the parameters' names (pure)."""
    method = "GET" if method == "HEAD" else method
    if (found := _SPECIAL.get((method, template))) is not None:
        return found
    safe = method in SAFE_METHODS
    if template == _APP or template.startswith(f"{_APP}/"):
        return Rule(Action.READ if safe else Action.WRITE, Scope.APP)
    if template == _ORG or template.startswith(f"{_ORG}/"):
        return Rule(Action.READ if safe else Action.MANAGE, Scope.ORG)
    if template.startswith("/v1/operations/{operation_id}"):
        return Rule(Action.READ if safe else Action.WRITE, Scope.ANYWHERE)
    if template.startswith("/v1/tokens/{token_id}"):
        return Rule(Action.READ if safe else Action.MANAGE, Scope.ANYWHERE)
    return Rule(Action.READ if safe else Action.OPERATE, Scope.CLOUD)


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, from where, and what for."""

    principal: Principal
    source: str
    target: Target = ANYWHERE

    def require(self, action: Action, target: Target) -> None:
        """Raise Forbidden unless it may be done."""
        if why := refusal(self.principal, action, target, self.source):
            raise _forbidden(self.principal, why)

    def may(self, action: Action, target: Target) -> bool:
        """Tell whether it may be done."""
        return may(self.principal, action, target, self.source)

    def sees(self, org: str, app: str = "") -> bool:
        """Tell whether an org, or an app in it, belongs in a listing."""
        return sees(self.principal, org, app, self.source)


def check(
    control: Control, who: Principal, source: str, method: str, template: str, params: Mapping[str, str]
) -> Access:
    """Return who asks for what; raises Forbidden, NotFound, and BadInput for a name that can't be one."""
    rule = rule_of(method, template)
    access = Access(who, source)
    if params.get("token_id") == who.token_id and not who.attenuated:
        return access  # its own: anybody may look at it and give it back
    access.require(rule.action, CLOUD if rule.scope is Scope.CLOUD else ANYWHERE)
    if who.orgs is None and not who.limited:
        return Access(who, source, _named(control, params, changes=method not in SAFE_METHODS))
    target = _resolve(control, access, rule, params)
    access.require(rule.action, target)
    return Access(who, source, target)


def _named(control: Control, params: Mapping[str, str], *, changes: bool) -> Target:
    """What a token without limits acts on. The app's org matters for the audit log only."""
    if "app" in params:
        org = ""
        if changes:
            with contextlib.suppress(NotFound):  # it is told after the body was checked
                org = control.apps.get(params["app"]).org
        return Target(Scope.APP, org, params["app"], params.get("machine_id", ""))
    return Target(Scope.ORG, params["slug"]) if "slug" in params else ANYWHERE


def _resolve(control: Control, access: Access, rule: Rule, params: Mapping[str, str]) -> Target:
    if "app" in params:
        app = control.apps.get(check_app_name(params["app"]))
        return Target(Scope.APP, app.org, app.name, params.get("machine_id", ""))
    if "slug" in params:
        return Target(rule.scope, check_org(params["slug"]))
    if "operation_id" in params:
        operation = control.operations.get(params["operation_id"])
        target = Target(Scope.APP, control.apps.get(operation.app).org, operation.app) if operation.app else CLOUD
        return _seen(access, target, "operation not found", "`roost operations list` shows them")
    if "token_id" in params:
        token = control.tokens.get(params["token_id"])
        target = Target(Scope.ORG, token.org) if token.org else CLOUD
        return _seen(access, target, "token not found", "`roost tokens list` shows them")
    return CLOUD if rule.scope is Scope.CLOUD else ANYWHERE


def _seen(access: Access, target: Target, message: str, hint: str) -> Target:
    if not access.may(Action.READ, target):
        raise NotFound(message, hint=hint)
    return target


def _forbidden(who: Principal, why: str) -> Forbidden:
    return Forbidden(
        f"the token of {who.name!r} may not do this: {why}", hint="use a token that may; `roost auth whoami`"
    )
