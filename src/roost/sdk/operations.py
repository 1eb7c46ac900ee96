"""Long-running work: sources, deploys and images begin operations, and `client.operations` follows them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any, cast

import httpx2

from roost.model.errors import TimedOut
from roost.model.operation import OperationState, Progress
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.group import Group, M, call, stream
from roost.sdk.shapes import Image, Operation, Source
from roost.sdk.transport import join
from roost.sdk.wire import Chunks

_SILENCE = 60.0  # seconds; the server sends a comment more often than that


class Operations(Group[M]):
    """`client.operations`."""

    @call
    async def list(self, *, app: str = "") -> list[Operation]:
        """Return the operations of an app, or all, newest first."""
        return cast("list[Operation]", await self._http.call("GET", join("operations"), query={"app": app}))

    @call
    async def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""
        return cast("Operation", await self._http.call("GET", join("operations", operation_id)))

    @call
    async def cancel(self, operation_id: str) -> Operation:
        """Ask a running operation to end and undo what it did; one that has ended stays as it is."""
        return cast("Operation", await self._http.call("POST", join("operations", operation_id, "cancel")))

    @stream
    async def follow(
        self, operation_id: str, *, after: int = 0, patience: float = 60.0
    ) -> AsyncGenerator[Progress, None]:
        """Yield an operation's progress from number `after` + 1 on, until it ends.

        A dropped connection (roostd restarts) is taken up again where it broke off, nothing missed and
        nothing twice; Unreachable is raised when that fails for `patience` seconds.
        """
        lost_since: float | None = None
        pause = 0.1
        while True:
            began = after
            try:
                with suppress(Unreachable, TimedOut):  # broken off; whether the API is gone shows next
                    async with aclosing(self._events(operation_id, after)) as events:
                        async for progress in events:
                            pause, after = 0.1, progress.number
                            yield progress
                            if progress.kind == "done":
                                return
                state = (await self._http.call("GET", join("operations", operation_id))).get("state")
                lost_since = None
                if after == began and state != OperationState.RUNNING:
                    return  # it ended, and there is nothing left to tell
            except (Unreachable, TimedOut):
                now = time.monotonic()
                lost_since = now if lost_since is None else lost_since
                if now - lost_since > patience:
                    raise
            await self._http.wire.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _events(self, operation_id: str, after: int) -> AsyncGenerator[Progress, None]:
        path = join("operations", operation_id, "events")
        async with aclosing(self._http.events(path, query={"after": after}, silence=_SILENCE)) as events:
            async for event in events:
                if event.event == "error":  # following failed, not the operation
                    raise Unreachable(error_from_answer(500, event.data.encode(), {}, request=f"GET {path}").message)
                if event.event in ("step", "log", "done") and event.data:
                    progress = _progress(event)
                    if progress.number > after:
                        yield progress


def _progress(event: httpx2.ServerSentEvent) -> Progress:
    data = event.json()
    fields = data if isinstance(data, dict) else {"text": str(data)}
    at = str(fields.get("timestamp") or "")
    return Progress(
        number=int(event.id or fields.get("number", 0)),
        kind=event.event,
        step=str(fields.get("step") or ""),
        text=str(fields.get("text") or ""),
        at=datetime.fromisoformat(at).timestamp() if at else 0.0,
    )


class Sources(Group[M]):
    """`client.sources`."""

    @call
    async def upload(self, chunks: Chunks) -> Source:
        """Send a gzipped tar of a source directory; raises BadInput if the cloud finds it unsafe or too big."""
        return cast("Source", await self._http.upload(join("sources"), chunks, "application/gzip"))

    @call
    async def plan(self, source_id: str, *, config: Mapping[str, Any] | None = None, name: str = "") -> dict[str, Any]:
        """Ask what the source is: `plan` (how it is built and why), `config`, and `toml`, that to write down."""
        body: dict[str, Any] = {"config": None if config is None else dict(config)}
        if name:
            body["name"] = name
        return cast("dict[str, Any]", await self._http.call("POST", join("sources", source_id, "plan"), body=body))


class Deploys(Group[M]):
    """`client.deploys`."""

    @call
    async def start(
        self,
        app: str,
        *,
        source: str = "",
        image: str = "",
        config: Mapping[str, Any] | None = None,
        build_args: Mapping[str, str] | None = None,
        build_secrets: Mapping[str, str] | None = None,
        no_cache: bool = False,
    ) -> Operation:
        """Begin to deploy an uploaded source or an image; raises Conflict while the app deploys already."""
        body: dict[str, Any] = {
            "source": source,
            "image": image,
            "config": None if config is None else dict(config),
            "build_args": dict(build_args or {}),
            "build_secrets": dict(build_secrets or {}),
            "no_cache": no_cache,
        }
        body = {key: value for key, value in body.items() if value not in ("", {}, None, False)}
        return cast("Operation", await self._http.call("POST", join("apps", app, "deploys"), body=body))


class Scaling(Group[M]):
    """`client.scaling`."""

    @call
    async def counts(self, app: str) -> dict[str, int]:
        """Return how many machines each process group has, 0 too."""
        found = await self._http.call("GET", join("apps", app, "scale"))
        return cast("dict[str, int]", found["counts"])

    @call
    async def count(self, app: str, counts: Mapping[str, int]) -> Operation:
        """Begin to bring process groups to so many machines; raises Conflict while the app deploys."""
        path = join("apps", app, "scale")
        return cast("Operation", await self._http.call("POST", path, body={"counts": dict(counts)}))


class Images(Group[M]):
    """`client.images`."""

    @call
    async def list(self) -> list[Image]:
        """Return the images in the cloud's store, newest first."""
        return cast("list[Image]", await self._http.call("GET", join("images")))

    @call
    async def pull(self, reference: str) -> Operation:
        """Begin bringing an image here, unless it is here."""
        return cast("Operation", await self._http.call("POST", join("images", "pull"), body={"reference": reference}))

    @call
    async def refresh(self, reference: str) -> Operation:
        """Begin pulling or making an image again, even if it is here."""
        return cast(
            "Operation", await self._http.call("POST", join("images", "refresh"), body={"reference": reference})
        )

    @call
    async def collect(self) -> int:
        """Remove the images and layers that nothing uses; returns the bytes freed."""
        return int((await self._http.call("POST", join("images", "collect"), timeout=300.0))["freed_bytes"])
