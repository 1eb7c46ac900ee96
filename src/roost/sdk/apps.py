"""Calls about apps: the apps themselves, their releases, secrets and logs."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import cast

from roost.model.errors import TimedOut
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.group import Group, M, call, stream
from roost.sdk.shapes import App, AppStatus, LogLine, Operation, Release, Secret
from roost.sdk.transport import Query, join

_LOG_SILENCE = 3600.0  # seconds; a quiet app is no error
_PAUSE = 0.2  # seconds between two streams
_RESUME_LIMIT = 1000  # lines that a dropped connection may have missed
_LINE_LIMIT = 1 << 20  # bytes of one log line


class Apps(Group[M]):
    """`client.apps`."""

    @call
    async def list(self, *, org: str = "") -> list[App]:
        """Return the apps of an org, or all that the token may see."""
        answer = await self._http.call("GET", join("apps"), query={"org_slug": org})
        return cast("list[App]", answer["apps"])

    @call
    async def create(self, name: str, *, org: str = "personal", network: str = "") -> App:
        """Make an app; raises NameTaken or BadInput."""
        body = {"name": name, "org_slug": org} | ({"network": network} if network else {})
        return cast("App", await self._http.call("POST", join("apps"), body=body))

    @call
    async def get(self, name: str) -> App:
        """Return an app; raises NotFound."""
        return cast("App", await self._http.call("GET", join("apps", name)))

    @call
    async def status(self, name: str) -> AppStatus:
        """Return how the app is and why, with its machines and its current release."""
        return cast("AppStatus", await self._http.call("GET", join("apps", name, "status")))

    @call
    async def metrics(self, name: str) -> str:
        """Return the latest metrics of the app's started machines, as Prometheus text."""
        return await self._http.text("GET", join("apps", name, "metrics"))

    @call
    async def destroy(self, name: str, *, force: bool = False) -> None:
        """Remove the app and its machines; without `force` raises FailedPrecondition while machines run."""
        await self._http.call("DELETE", join("apps", name), query={"force": force}, timeout=180.0)


class Releases(Group[M]):
    """`client.releases`."""

    @call
    async def list(self, app: str) -> list[Release]:
        """Return the releases of an app, newest first."""
        return cast("list[Release]", await self._http.call("GET", join("apps", app, "releases")))

    @call
    async def rollback(self, app: str, version: int = 0) -> Operation:
        """Begin deploying an earlier release again; 0 is the one before the current."""
        return cast(
            "Operation", await self._http.call("POST", join("apps", app, "rollback"), body={"version": version})
        )


class Secrets(Group[M]):
    """`client.secrets`."""

    @call
    async def get(self, app: str, name: str, *, min_version: int = 0) -> Secret:
        """Return a name and digest; raises NotFound, or FailedPrecondition before the secrets have that version."""
        query = {"min_version": min_version or None}
        return cast("Secret", await self._http.call("GET", join("apps", app, "secrets", name), query=query))

    @call
    async def list(self, app: str) -> list[Secret]:
        """Return names and digests; values never leave the cloud."""
        return cast("list[Secret]", (await self._http.call("GET", join("apps", app, "secrets")))["secrets"])

    @call
    async def set(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set and (None) remove secrets in one step; returns the version of the app's secrets after it."""
        answer = await self._http.call("POST", join("apps", app, "secrets"), body={"values": dict(values)})
        return int(answer["version"])


class Logs(Group[M]):
    """`client.logs`."""

    @stream
    async def read(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100
    ) -> AsyncGenerator[LogLine, None]:
        """Yield the last `limit` lines, oldest first; `since` is a Unix time."""
        query = {"machine": machine, "since": since or None, "limit": limit}
        async with aclosing(self._lines(app, query, silence=60.0)) as lines:
            async for line in lines:
                yield line

    @stream
    async def follow(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100
    ) -> AsyncGenerator[LogLine, None]:
        """Yield the last lines and then new ones, until the caller stops. Goes on after a dropped connection."""
        query: dict[str, str | int | float | bool | list[str] | None]
        query = {"machine": machine, "since": since or None, "limit": limit, "follow": True}
        resumed = False
        last, seen = "", set[tuple[str, ...]]()  # the newest time, and the lines that carry it
        while True:
            try:
                async with aclosing(self._lines(app, query, silence=_LOG_SILENCE)) as lines:
                    async for line in lines:
                        at = line.get("timestamp", "")
                        key = (line.get("machine", ""), line.get("stream", ""), line.get("message", ""))
                        if resumed and (at < last or (at == last and key in seen)):
                            continue  # seen before the connection dropped
                        if at > last:
                            last = at
                            seen.clear()
                        seen.add(key)
                        yield line
            except (Unreachable, TimedOut):
                if not last:
                    raise
            await self._http.call("GET", "/healthz")  # raises when the cloud is gone for good
            await self._http.wire.sleep(_PAUSE)
            resumed = True
            resume = datetime.fromisoformat(last).timestamp() if last else since
            query = {"machine": machine, "since": resume or None, "limit": _RESUME_LIMIT, "follow": True}

    async def _lines(self, app: str, query: Query, *, silence: float) -> AsyncGenerator[LogLine, None]:
        path = join("apps", app, "logs")
        async with aclosing(self._http.lines(path, query=query, silence=silence)) as lines:
            async for text in lines:
                if not text.strip() or len(text) > _LINE_LIMIT:
                    continue
                line = json.loads(text)
                if "error" in line:
                    raise error_from_answer(500, text.encode(), {}, request=f"GET {path}")
                yield cast("LogLine", line)
