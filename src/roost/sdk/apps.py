"""Calls about apps: the apps themselves, their releases, secrets and logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import cast

from roost.model.errors import TimedOut
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.shapes import App, AppStatus, LogLine, Operation, Release, Secret
from roost.sdk.transport import Query, Transport, join

_LOG_SILENCE = 3600.0  # seconds; a quiet app is no error
_PAUSE = 0.2  # seconds between two streams
_RESUME_LIMIT = 1000  # lines that a dropped connection may have missed
_LINE_LIMIT = 1 << 20  # bytes of one log line


class Apps:
    """`client.apps`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self, *, org: str = "") -> list[App]:
        """Return the apps of an org, or all that the token may see."""
        answer = self._http.call("GET", join("apps"), query={"org_slug": org})
        return cast("list[App]", answer["apps"])

    def create(self, name: str, *, org: str = "personal", network: str = "") -> App:
        """Make an app; raises NameTaken or BadInput."""
        body = {"name": name, "org_slug": org} | ({"network": network} if network else {})
        return cast("App", self._http.call("POST", join("apps"), body=body))

    def get(self, name: str) -> App:
        """Return an app; raises NotFound."""
        return cast("App", self._http.call("GET", join("apps", name)))

    def status(self, name: str) -> AppStatus:
        """Return how the app is and why, with its machines and its current release."""
        return cast("AppStatus", self._http.call("GET", join("apps", name, "status")))

    def destroy(self, name: str, *, force: bool = False) -> None:
        """Remove the app and its machines; without `force` raises FailedPrecondition while machines run."""
        self._http.call("DELETE", join("apps", name), query={"force": force}, timeout=180.0)


class Releases:
    """`client.releases`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self, app: str) -> list[Release]:
        """Return the releases of an app, newest first."""
        return cast("list[Release]", self._http.call("GET", join("apps", app, "releases")))

    def rollback(self, app: str, version: int = 0) -> Operation:
        """Begin deploying an earlier release again; 0 is the one before the current."""
        return cast("Operation", self._http.call("POST", join("apps", app, "rollback"), body={"version": version}))


class Secrets:
    """`client.secrets`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self, app: str) -> list[Secret]:
        """Return names and digests; values never leave the cloud."""
        return cast("list[Secret]", self._http.call("GET", join("apps", app, "secrets"))["secrets"])

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set and (None) remove secrets in one step; returns the version of the app's secrets after it."""
        answer = self._http.call("POST", join("apps", app, "secrets"), body={"values": dict(values)})
        return int(answer["version"])


class Logs:
    """`client.logs`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def read(self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100) -> Iterator[LogLine]:
        """Yield the last `limit` lines, oldest first; `since` is a Unix time."""
        yield from self._lines(app, {"machine": machine, "since": since or None, "limit": limit}, silence=60.0)

    def follow(self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100) -> Iterator[LogLine]:
        """Yield the last lines and then new ones, until the caller stops. Goes on after a dropped connection."""
        query: dict[str, str | int | float | bool | list[str] | None]
        query = {"machine": machine, "since": since or None, "limit": limit, "follow": True}
        resumed = False
        last, seen = "", set[tuple[str, ...]]()  # the newest time, and the lines that carry it
        while True:
            try:
                for line in self._lines(app, query, silence=_LOG_SILENCE):
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
            self._http.call("GET", "/healthz")  # raises when the cloud is gone for good
            time.sleep(_PAUSE)
            resumed = True
            resume = datetime.fromisoformat(last).timestamp() if last else since
            query = {"machine": machine, "since": resume or None, "limit": _RESUME_LIMIT, "follow": True}

    def _lines(self, app: str, query: Query, *, silence: float) -> Iterator[LogLine]:
        path = join("apps", app, "logs")
        with self._http.stream(path, query=query, silence=silence, accept="application/x-ndjson") as answer:
            for text in answer.iter_lines():
                if not text.strip() or len(text) > _LINE_LIMIT:
                    continue
                line = json.loads(text)
                if "error" in line:
                    raise error_from_answer(500, text.encode(), {}, request=f"GET {path}")
                yield cast("LogLine", line)
