"""Request bodies about orgs and tokens, see `bodies`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from roost.api.bodies import Body, Label, OptionalLabel
from roost.api.reading import seconds
from roost.model.errors import BadInput
from roost.model.identity import DEFAULT_EXPIRY, LONGEST_EXPIRY, Action, NewToken, Role, check_user
from roost.model.names import check_app_name, check_machine_id

_Name = Annotated[str, Field(max_length=100)]
_Expiry = str | int | float  # seconds, or a duration such as "2160h" or "90d"
_ROLES = Literal["admin", "deployer", "reader"]
_DAYS = 86_400


class NewOrg(Body):
    """`POST /orgs`."""

    slug: OptionalLabel = ""
    name: _Name = ""

    def chosen_slug(self) -> str:
        """Return the slug, or the name where that can be one; raises BadInput."""
        if not (self.slug or self.name):
            raise BadInput("slug is missing", hint='send {"slug": "my-org"}')
        return self.slug or self.name


class NewMember(Body):
    """`POST /orgs/{slug}/members`: adds one, or changes its role."""

    user: Annotated[str, Field(min_length=1, max_length=100)]
    role: _ROLES = "deployer"


class NewDeployToken(Body):
    """`POST /apps/{app}/deploy_token`."""

    expiry: _Expiry | None = None
    name: _Name = ""


class TokenToCheck(Body):
    """`POST /tokens/authenticate`: the value of an Authorization header."""

    header: Annotated[str, Field(min_length=1, max_length=8300, repr=False)]


class TokenAccess(Body):
    """What a token is to be good for, in `POST /tokens/authorize`. `action` adds up 1 read, 2 write, 4 create,
    8 delete, 16 control; a `command` is one to run in a machine.
    """

    not_acted_on = ("app_feature", "org_feature", "machine_feature", "mutation", "source_machine", "storage_object")
    action: Annotated[int, Field(ge=0, le=31)] = 0
    org_slug: OptionalLabel = ""
    app_name: OptionalLabel = ""
    machine_id: str = ""
    volume_id: str = ""
    command: Annotated[tuple[str, ...], Field(max_length=1024, strict=False)] = ()


class TokenToAuthorize(TokenToCheck):
    """`POST /tokens/authorize`."""

    access: TokenAccess


class TokenWanted(Body):
    """`POST /tokens`. `type` spells the usual ones; `role` is that of a token of an org, a user or the cloud."""

    name: _Name = ""
    type: Literal["cloud", "user", "org", "app", "exec", "readonly"] = "org"
    org_slug: OptionalLabel = ""
    user: _Name = ""
    role: _ROLES | None = None
    apps: Annotated[tuple[Label, ...], Field(max_length=100, strict=False)] = ()
    machine_id: str = ""
    expiry: _Expiry | None = None

    def wanted(self) -> NewToken:
        """Return what is asked for; raises BadInput."""
        self._agree()
        roles = {"app": Role.DEPLOYER, "exec": Role.DEPLOYER, "readonly": Role.READER}
        return NewToken(
            name=self.name or f"{self.type} {self.user or ' '.join(self.apps) or self.org_slug}".strip(),
            role=roles.get(self.type) or Role(self.role or "deployer"),
            org=self.org_slug,
            user=check_user(self.user) if self.user else "",
            apps=tuple(check_app_name(app) for app in self.apps) or None,
            machine=check_machine_id(self.machine_id) if self.machine_id else "",
            actions=(Action.READ, Action.EXEC) if self.type == "exec" else None,
            lifetime=lifetime(self.expiry),
        )

    def _agree(self) -> None:
        if self.type in ("org", "app", "exec") and not self.org_slug:
            raise BadInput(f"org_slug is missing: a token of the type {self.type} belongs to an org")
        if self.type in ("cloud", "user") and self.org_slug:
            raise BadInput(f"org_slug does not go with the type {self.type}", hint="leave it away, or use the type org")
        if self.type == "user" and not self.user:
            raise BadInput("user is missing", hint="name a member of an org")
        if self.type in ("app", "exec") and not self.apps:
            raise BadInput(f"apps is missing: a token of the type {self.type} is for some apps")
        if self.apps and not self.org_slug:
            raise BadInput("apps goes with org_slug: the org that they are in")
        if self.machine_id and self.type != "exec":
            raise BadInput("machine_id goes with the type exec only")
        if self.role and self.type in ("app", "exec", "readonly"):
            raise BadInput(f"role does not go with the type {self.type}, which has its own")


def lifetime(expiry: str | int | float | None) -> float:
    """Return how long a token lives, in seconds: 90 days unless told. Raises BadInput."""
    if isinstance(expiry, str) and expiry.endswith("d") and expiry[:-1].isdecimal() and len(expiry) < 7:
        expiry = int(expiry[:-1]) * _DAYS
    return seconds(expiry, "expiry", default=DEFAULT_EXPIRY, low=1.0, high=LONGEST_EXPIRY)
