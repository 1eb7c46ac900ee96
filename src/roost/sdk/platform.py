"""Calls about the platform as a whole: machines and volumes of a whole org, regions, identity tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from roost.sdk.group import Group, M, call, stream
from roost.sdk.shapes import Machine
from roost.sdk.transport import Query, join


class Platform(Group[M]):
    """`client.platform`."""

    @stream
    async def machines(
        self,
        org: str,
        *,
        state: str = "",
        region: str = "",
        summary: bool = False,
        include_deleted: bool = False,
        updated_after: str = "",
        page: int = 1000,
    ) -> AsyncGenerator[Machine, None]:
        """Yield the machines of all apps of an org, the longest unchanged first; each has its `app_name`.

        They are fetched `page` at a time. `updated_after` is a time in RFC 3339: only what changed since.
        """
        query: dict[str, str | int | bool] = {"state": state, "region": region, "updated_after": updated_after}
        query |= {key: True for key, wanted in (("summary", summary), ("include_deleted", include_deleted)) if wanted}
        async for machine in self._pages(join("orgs", org, "machines"), "machines", query, page):
            yield cast("Machine", machine)

    @stream
    async def volumes(
        self,
        org: str,
        *,
        state: str = "",
        region: str = "",
        summary: bool = False,
        include_deleted: bool = False,
        updated_after: str = "",
        page: int = 1000,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the volumes of all apps of an org, the longest unchanged first; each has its `app_name`."""
        query: dict[str, str | int | bool] = {"state": state, "region": region, "updated_after": updated_after}
        query |= {key: True for key, wanted in (("summary", summary), ("include_deleted", include_deleted)) if wanted}
        async for volume in self._pages(join("orgs", org, "volumes"), "volumes", query, page):
            yield volume

    async def _pages(
        self, path: str, key: str, query: Mapping[str, str | int | bool], page: int
    ) -> AsyncGenerator[dict[str, Any], None]:
        asked = {**query, "limit": page, "cursor": ""}
        while True:
            answer = await self._http.call("GET", path, query=cast("Query", asked))
            for row in answer[key]:
                yield row
            asked["cursor"] = answer["next_cursor"]
            if not asked["cursor"]:
                return

    @call
    async def regions(self) -> Sequence[dict[str, Any]]:
        """Return the regions: a cloud of one server has one."""
        answer = await self._http.call("GET", join("platform", "regions"))
        return cast("Sequence[dict[str, Any]]", answer["regions"])

    @call
    async def certificate_authority(self) -> Mapping[str, Any]:
        """Return the certificate of the authority of the cloud's own domain: `pem`, `needed` and `why` (not)."""
        answer = await self._http.call("GET", join("platform", "certificate_authority"))
        return cast("Mapping[str, Any]", answer)

    @call
    async def placements(self, org: str, *, region: str = "", count: int = 1) -> Sequence[dict[str, Any]]:
        """Return where `count` more machines could be made: `region`, `count` and `concurrency` of each place."""
        body: dict[str, Any] = {"org_slug": org, "count": count} | ({"region": region} if region else {})
        answer = await self._http.call("POST", join("platform", "placements"), body=body)
        return cast("Sequence[dict[str, Any]]", answer["regions"])

    @call
    async def identity_token(self, audience: str, *, aws_principal_tags: Sequence[str] = ()) -> str:
        """Return a signed token (a JWT) that tells `audience` which machine asks; only inside a machine."""
        body: Mapping[str, Any] = {"aud": audience}
        if aws_principal_tags:
            body = {**body, "aws_principal_tags": list(aws_principal_tags)}
        return await self._http.text("POST", join("tokens", "oidc"), body=body)
