"""Long-running work: sources, deploys and images begin operations, and `client.operations` follows them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

import httpx2

from roost.model.errors import TimedOut
from roost.model.operation import OperationState, Progress
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.shapes import Image, Operation, Source
from roost.sdk.transport import Transport, join

_SILENCE = 60.0  # seconds; the server sends a comment more often than that


class Operations:
    """`client.operations`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self, *, app: str = "") -> list[Operation]:
        """Return the operations of an app, or all, newest first."""
        return cast("list[Operation]", self._http.call("GET", join("operations"), query={"app": app}))

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""
        return cast("Operation", self._http.call("GET", join("operations", operation_id)))

    def cancel(self, operation_id: str) -> Operation:
        """Ask a running operation to end and undo what it did; one that has ended stays as it is."""
        return cast("Operation", self._http.call("POST", join("operations", operation_id, "cancel")))

    def follow(self, operation_id: str, *, after: int = 0, patience: float = 60.0) -> Iterator[Progress]:
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
                    for progress in self._events(operation_id, after):
                        pause, after = 0.1, progress.number
                        yield progress
                        if progress.kind == "done":
                            return
                state = self.get(operation_id).get("state")
                lost_since = None
                if after == began and state != OperationState.RUNNING:
                    return  # it ended, and there is nothing left to tell
            except (Unreachable, TimedOut):
                now = time.monotonic()
                lost_since = now if lost_since is None else lost_since
                if now - lost_since > patience:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _events(self, operation_id: str, after: int) -> Iterator[Progress]:
        path = join("operations", operation_id, "events")
        query = {"after": after}
        with self._http.stream(path, query=query, silence=_SILENCE, accept="text/event-stream") as answer:
            for event in httpx2.EventSource(answer):
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


class Sources:
    """`client.sources`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def upload(self, chunks: Iterable[bytes]) -> Source:
        """Send a gzipped tar of a source directory; raises BadInput if the cloud finds it unsafe or too big."""
        return cast("Source", self._http.upload(join("sources"), chunks, "application/gzip"))

    def plan(self, source_id: str, *, config: Mapping[str, Any] | None = None, name: str = "") -> dict[str, Any]:
        """Ask what the source is: `plan` (how it is built and why), `config`, and `toml`, that to write down."""
        body: dict[str, Any] = {"config": None if config is None else dict(config)}
        if name:
            body["name"] = name
        return cast("dict[str, Any]", self._http.call("POST", join("sources", source_id, "plan"), body=body))


class Deploys:
    """`client.deploys`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def start(
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
        return cast("Operation", self._http.call("POST", join("apps", app, "deploys"), body=body))


class Images:
    """`client.images`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self) -> list[Image]:
        """Return the images in the cloud's store, newest first."""
        return cast("list[Image]", self._http.call("GET", join("images")))

    def pull(self, reference: str) -> Operation:
        """Begin bringing an image here, unless it is here."""
        return cast("Operation", self._http.call("POST", join("images", "pull"), body={"reference": reference}))

    def refresh(self, reference: str) -> Operation:
        """Begin pulling or making an image again, even if it is here."""
        return cast("Operation", self._http.call("POST", join("images", "refresh"), body={"reference": reference}))

    def collect(self) -> int:
        """Remove the images and layers that nothing uses; returns the bytes freed."""
        return int(self._http.call("POST", join("images", "collect"), timeout=300.0)["freed_bytes"])
