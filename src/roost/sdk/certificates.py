"""Calls about certificates: host names of an app, and what they need in DNS."""

from __future__ import annotations

from typing import Any, cast

from roost.sdk.group import Group, M, call
from roost.sdk.transport import Query, join

Certificate = dict[str, Any]  # as in docs/api.md
_SLOW = 60.0  # seconds: DNS is asked


class Certificates(Group[M]):
    """`client.certificates`."""

    @call
    async def get(self, app: str, hostname: str) -> Certificate:
        """Return a host name as the last check saw it; raises NotFound."""
        return cast("Certificate", await self._http.call("GET", join("apps", app, "certificates", hostname)))

    @call
    async def request(self, app: str, hostname: str) -> Certificate:
        """Ask for a certificate for a host name; raises BadInput, NameTaken."""
        path = join("apps", app, "certificates", "acme")
        return cast("Certificate", await self._http.call("POST", path, body={"hostname": hostname}))

    @call
    async def upload(self, app: str, hostname: str, fullchain: str, private_key: str) -> Certificate:
        """Bring a certificate with its key, both PEM; raises BadInput, NameTaken."""
        body = {"hostname": hostname, "fullchain": fullchain, "private_key": private_key}
        return cast(
            "Certificate", await self._http.call("POST", join("apps", app, "certificates", "custom"), body=body)
        )

    @call
    async def check(self, app: str, hostname: str) -> Certificate:
        """Ask DNS now; the answer has `dns_records` too."""
        path = join("apps", app, "certificates", hostname, "check")
        return cast("Certificate", await self._http.call("POST", path, timeout=_SLOW))

    @call
    async def remove(self, app: str, hostname: str) -> None:
        """Remove a host name with all its certificates; raises NotFound."""
        await self._http.call("DELETE", join("apps", app, "certificates", hostname))

    @call
    async def remove_acme(self, app: str, hostname: str) -> Certificate:
        """Ask no longer for a certificate; one that was brought stays."""
        path = join("apps", app, "certificates", hostname, "acme")
        return cast("Certificate", await self._http.call("DELETE", path))

    @call
    async def remove_custom(self, app: str, hostname: str) -> Certificate:
        """Remove the certificate that was brought, and its key."""
        path = join("apps", app, "certificates", hostname, "custom")
        return cast("Certificate", await self._http.call("DELETE", path))

    @call
    async def list(self, app: str, *, filter: str = "") -> list[Certificate]:
        """Return an app's host names, all of them, or those that hold `filter`."""
        found: list[Certificate] = []
        cursor = ""
        while True:
            query: Query = {"filter": filter, "cursor": cursor, "limit": 500}
            page = await self._http.call("GET", join("apps", app, "certificates"), query=query)
            found += page["certificates"]
            cursor = page["next_cursor"]
            if not cursor:
                return found
