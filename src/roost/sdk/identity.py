"""Calls about who may do what: orgs and their members, tokens, the audit log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypedDict, cast

from roost.sdk.group import Group, M, call, stream
from roost.sdk.transport import Query, join


class Org(TypedDict, total=False):
    """A group of users who share apps and a private network."""

    slug: str
    name: str
    apps: int
    members: list[dict[str, Any]]
    created_at: str


class Token(TypedDict, total=False):
    """A token; `token` is its text, only in the answer to its creation. `org_slug` "": of the cloud or a user."""

    id: str
    name: str
    org_slug: str
    user: str
    role: str
    apps: list[str] | None
    machine: str
    actions: list[str] | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    token: str


class Orgs(Group[M]):
    """`client.orgs`."""

    @call
    async def list(self) -> Sequence[Org]:
        """Return the orgs that the token sees."""
        return cast("Sequence[Org]", (await self._http.call("GET", join("orgs")))["orgs"])

    @call
    async def create(self, slug: str, name: str = "") -> Org:
        """Make an org; raises NameTaken."""
        return cast("Org", await self._http.call("POST", join("orgs"), body={"slug": slug, "name": name}))

    @call
    async def get(self, slug: str) -> Org:
        """Return an org with its members."""
        return cast("Org", await self._http.call("GET", join("orgs", slug)))

    @call
    async def destroy(self, slug: str) -> None:
        """Remove an org, its members and tokens; raises FailedPrecondition while it has apps."""
        await self._http.call("DELETE", join("orgs", slug))

    @call
    async def members(self, slug: str) -> Sequence[dict[str, Any]]:
        """Return an org's members: `user`, `role`, `added_at`."""
        answer = await self._http.call("GET", join("orgs", slug, "members"))
        return cast("Sequence[dict[str, Any]]", answer["members"])

    @call
    async def set_member(self, slug: str, user: str, role: str = "deployer") -> dict[str, Any]:
        """Add a member, or change its role: `admin`, `deployer` or `reader`."""
        body = {"user": user, "role": role}
        return cast("dict[str, Any]", await self._http.call("POST", join("orgs", slug, "members"), body=body))

    @call
    async def remove_member(self, slug: str, user: str) -> None:
        """Remove a member: from now on its tokens see the org no more."""
        await self._http.call("DELETE", join("orgs", slug, "members", user))


class Tokens(Group[M]):
    """`client.tokens`."""

    @call
    async def list(self, org: str = "") -> Sequence[Token]:
        """Return the tokens that the token in use may manage (of one org), and itself."""
        query = {"org_slug": org} if org else {}
        return cast("Sequence[Token]", (await self._http.call("GET", join("tokens"), query=query))["tokens"])

    @call
    async def authenticate(self, header: str) -> dict[str, Any]:
        """Return whose token an Authorization header holds; raises Unauthorized when it is not valid."""
        body = {"header": header}
        return cast("dict[str, Any]", await self._http.call("POST", join("tokens", "authenticate"), body=body))

    @call
    async def authorize(
        self,
        header: str,
        *,
        app: str = "",
        org: str = "",
        machine: str = "",
        action: int = 1,
        command: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return what an Authorization header's token may do if it may; raises Forbidden with the reason.

        `action` adds up 1 read, 2 write, 4 create, 8 delete, 16 control; a `command` is one to run in a machine.
        """
        access = {"action": action, "app_name": app, "org_slug": org, "machine_id": machine, "command": [*command]}
        body = {"header": header, "access": access}
        return cast("dict[str, Any]", await self._http.call("POST", join("tokens", "authorize"), body=body))

    @call
    async def create(
        self,
        name: str = "",
        *,
        type: str = "org",
        org: str = "",
        user: str = "",
        role: str | None = None,
        apps: Sequence[str] = (),
        machine: str = "",
        expiry: str | float | None = None,
    ) -> Token:
        """Make a token; its text is in `token`, this once.

        `type` is `org`, `app`, `exec`, `readonly`, `user` or `cloud`; `expiry` is in seconds or as in `90d`
        (90 days unless told).
        """
        body: dict[str, Any] = {"name": name, "type": type, "org_slug": org, "user": user, "machine_id": machine}
        body |= {"apps": [*apps], "role": role, "expiry": expiry}
        return cast("Token", await self._http.call("POST", join("tokens"), body=body))

    @call
    async def deploy_token(self, app: str, *, expiry: str | float | None = None) -> str:
        """Make a token that deploys one app, and return its text."""
        body = {"expiry": expiry}
        return cast("str", (await self._http.call("POST", join("apps", app, "deploy_token"), body=body))["token"])

    @call
    async def for_keys(self) -> str:
        """Return a token that uses secret keys for an hour and does nothing else: the one in use, weakened to that.

        For a client that is `inside` a machine without a token: one for the keys of the machine's app.
        """
        return await self._http.text("POST", join("tokens", "kms"), body={})

    @call
    async def get(self, token_id: str) -> Token:
        """Return a token by its id, without its text."""
        return cast("Token", await self._http.call("GET", join("tokens", token_id)))

    @call
    async def revoke(self, token_id: str) -> Token:
        """Revoke a token and all that were made from it by attenuation."""
        return cast("Token", await self._http.call("DELETE", join("tokens", token_id)))


class Audit(Group[M]):
    """`client.audit`."""

    @stream
    async def entries(
        self, *, app: str = "", org: str = "", since: str = "", page: int = 100
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what was changed and tried, newest first: who, what, when, from where and with which result.

        `since` is a time in RFC 3339. They are fetched `page` at a time.
        """
        query: dict[str, str | int] = {"app": app, "org_slug": org, "since": since, "limit": page, "cursor": ""}
        while True:
            answer = await self._http.call("GET", join("audit"), query=cast("Query", query))
            for entry in answer["entries"]:
                yield entry
            query["cursor"] = answer["next_cursor"]
            if not query["cursor"]:
                return
