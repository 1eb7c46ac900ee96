"""The xDS server: keeps Envoy's configuration equal to a table of resources, over incremental ADS.

State: the table (name -> resource, per type) and one `_Stream` per connection of Envoy. Versions are
digests of the content, and a stream begins with what Envoy reports to have, so a restart of roostd
sends nothing to an Envoy that is up to date. Until `complete` is set, nothing is removed that was not
removed by name: after a restart the table fills up while Envoy serves what it has. Secrets are sent by
name only, when Envoy asks for them: `wanted` is told, and they go when they are set or declared missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Set
from functools import partial
from typing import Any

from roost.edge.delta import GONE, NamedSubscription, Subscription
from roost.edge.last_good import LastGood
from roost.edge.protos import (
    CLUSTER,
    LISTENER,
    ROUTES,
    SECRET,
    VIRTUAL_HOST,
    AggregatedDiscoveryServiceServicer,
    DeltaDiscoveryResponse,
)
from roost.edge.snapshot import FIRST_HOST, ROUTES_NAME, app_of, cluster_name, virtual_host_name

TYPES = (CLUSTER, SECRET, LISTENER, ROUTES, VIRTUAL_HOST)  # clusters come before what refers to them


class XdsServer(AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """Holds the table and serves it. All calls are on one event loop."""

    def __init__(self) -> None:
        self.table: dict[str, dict[str, Any]] = {kind: {} for kind in TYPES}
        self.complete = False
        self.latest_refusal = ""
        self.wanted: Callable[[], None] = lambda: None  # called when the names of secrets that are asked for change
        self.passive = False  # leaves an Envoy that has a configuration as it is
        self.journal: LastGood | None = None
        self._missing: set[str] = set()  # secrets that there are none for
        self._streams: list[_Stream] = []
        self._answered = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether an Envoy has its stream open."""
        return bool(self._streams)

    def set(self, kind: str, resource: Any) -> None:
        """Set a resource; sent to Envoy in the background."""
        old = self.table[kind].get(resource.name)
        if old is None or old.version != resource.version:
            self.table[kind][resource.name] = resource
            self._touch(kind, resource.name)

    def asked_secrets(self) -> Set[str]:
        """Return the names of the secrets that any Envoy wants."""
        names: set[str] = set()
        for stream in self._streams:
            if isinstance(subscription := stream.subscriptions.get(SECRET), NamedSubscription):
                names |= subscription.asked
        return names

    def knows_secret(self, name: str) -> bool:
        """Say whether it was said what becomes of a secret."""
        return name in self.table[SECRET] or name in self._missing

    def set_secret(self, name: str, resource: Any | None) -> None:
        """Set a secret; None says that there is none, which Envoy is told at once."""
        if resource is None:
            self._missing.add(name)
            self.delete(SECRET, name)
        else:
            self._missing.discard(name)
            self.set(SECRET, resource)

    def forget_secrets(self, names: Iterable[str]) -> None:
        """Forget secrets that no Envoy wants any more; nothing is sent."""
        for name in names:
            self.table[SECRET].pop(name, None)
            self._missing.discard(name)

    def delete(self, kind: str, name: str) -> None:
        """Remove a resource, also one that only Envoy still has."""
        self.table[kind].pop(name, None)
        self.record(kind, (), [name])
        self._touch(kind, name)

    def try_again(self, kind: str, name: str) -> None:
        """Have Envoy be told again what it refused."""
        for stream in self._streams:
            if kind in stream.subscriptions:
                stream.subscriptions[kind].refused.pop(name, None)
        self._touch(kind, name)

    def record(self, kind: str, resources: Iterable[Any], removed: Iterable[str] = ()) -> None:
        """Have the journal know what Envoy acknowledged, and what is to go."""
        if self.journal is not None:
            self.journal.note(kind, resources, removed)
            if self.complete and self.journal.is_wasteful():
                self.journal.rewrite(self.table)

    def mark_complete(self) -> None:
        """From now on the table says all: what Envoy has beyond it is removed."""
        self.complete = True
        for stream in self._streams:
            for kind, subscription in stream.subscriptions.items():
                for name in self._beyond(kind, subscription) if kind != SECRET else ():
                    subscription.touch(name)
            stream.wake.set()

    def has_any(self, kind: str, beginnings: tuple[str, ...]) -> bool:
        """Say whether the table or an Envoy has a resource whose name begins with one of these."""
        known = [stream.subscriptions[kind].has for stream in self._streams if kind in stream.subscriptions]
        return any(name.startswith(beginnings) for names in (self.table[kind], *known) for name in names)

    def beyond(self, kind: str) -> list[str]:
        """Return the names that Envoy has and the table lacks."""
        subscription = self._streams[-1].subscriptions.get(kind) if self._streams else None
        return self._beyond(kind, subscription) if subscription else []

    def _beyond(self, kind: str, subscription: Subscription) -> list[str]:
        return [name for name in subscription.has if name not in self.table[kind]]

    async def settle(self, kind: str, names: list[str], timeout: float) -> str | None:
        """Wait until Envoy has acknowledged the table's state of `names`.

        Returns "" when it has, Envoy's words when it refused one, None after `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while (state := self._state(kind, names)) is None:
                    self._answered.clear()
                    await self._answered.wait()
                return state
        except TimeoutError:
            return None

    def _state(self, kind: str, names: list[str]) -> str | None:
        if not self._streams:
            return None
        subscription = self._streams[-1].subscriptions.get(kind)
        if subscription is None:
            return None
        settled = True
        for name in names:
            resource = self.table[kind].get(name)
            version = GONE if resource is None else resource.version
            refused, words = subscription.refused.get(name, ("", ""))
            if version and refused == version:
                return words
            settled = settled and subscription.settled(name, version)
        return "" if settled else None

    def _touch(self, kind: str, name: str) -> None:
        for stream in self._streams:
            if kind in stream.subscriptions:
                stream.subscriptions[kind].touch(name)
                stream.wake.set()

    async def DeltaAggregatedResources(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        """Serve one Envoy until its stream ends (the name is the protocol's)."""
        stream = _Stream(self)
        self._streams.append(stream)
        reader = asyncio.create_task(self._read(stream, requests))
        try:
            while True:
                await stream.wake.wait()
                stream.wake.clear()
                if stream.ended:
                    return
                for response in stream.responses():
                    yield response
        finally:
            self._streams.remove(stream)
            self.wanted()
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, stream: _Stream, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                refusal = stream.take(request)
                if refusal:
                    self.latest_refusal = refusal
                if request.type_url == SECRET:
                    self.wanted()
                stream.wake.set()
                self._answered.set()
        finally:
            stream.ended = True
            stream.wake.set()


class _Stream:
    """One connection of Envoy: a subscription per type."""

    def __init__(self, server: XdsServer) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.wake = asyncio.Event()
        self.ended = False
        self._server = server
        self._count = 0

    def take(self, request: Any) -> str:
        """Take a request: a subscription, an answer, or both. Returns Envoy's words if it refuses."""
        kind = request.type_url
        if kind not in TYPES:
            return ""
        refusal: str = request.error_detail.message[:2000] if request.HasField("error_detail") else ""
        first = kind not in self.subscriptions
        subscription = self.subscriptions.get(kind)
        if subscription is None:
            subscription = self.subscriptions[kind] = NamedSubscription() if kind == SECRET else Subscription()
        if request.response_nonce:
            sent = dict(subscription.unanswered)
            if subscription.answer(request.response_nonce, refusal) and not refusal:
                self._record(kind, sent)
        if isinstance(subscription, NamedSubscription):
            subscription.unsubscribe(list(request.resource_names_unsubscribe))
        if first or request.resource_names_subscribe:
            subscription.subscribe(
                list(request.resource_names_subscribe),
                dict(request.initial_resource_versions),
                self._server.table[kind],
                complete=self._server.complete,
                passive=self._server.passive,
            )
        return refusal

    def _record(self, kind: str, acknowledged: dict[str, str]) -> None:
        table = self._server.table[kind]
        known = [(table[name], version) for name, version in acknowledged.items() if name in table]
        kept = [resource for resource, version in known if resource.version == version]
        self._server.record(kind, kept, [name for name, version in acknowledged.items() if not version])

    def responses(self) -> list[Any]:
        """Return what to send now, clusters first."""
        responses = []
        for kind in TYPES:
            subscription = self.subscriptions.get(kind)
            if subscription is None:
                continue
            nonce = str(self._count + 1)
            change = subscription.next(self._server.table[kind], nonce, partial(self._ready, kind))
            if change is None:
                continue
            self._count += 1
            response = DeltaDiscoveryResponse(type_url=kind, nonce=nonce, removed_resources=change.removed)
            response.resources.extend(change.resources)
            responses.append(response)
        return responses

    def _ready(self, kind: str, name: str) -> bool:
        """Return whether the change of a resource may be sent.

        A virtual host comes after its cluster, a cluster goes after its virtual host: no request ever
        meets a route whose cluster is missing.
        """
        present = name in self._server.table[kind]
        if kind == SECRET:
            return self._server.knows_secret(name)
        if kind == VIRTUAL_HOST and present and name != FIRST_HOST:
            clusters = self.subscriptions.get(CLUSTER)
            return clusters is not None and cluster_name(name.removeprefix(f"{ROUTES_NAME}/")) in clusters.has
        if kind == CLUSTER and not present and app_of(name):
            hosts = self.subscriptions.get(VIRTUAL_HOST)
            return hosts is not None and virtual_host_name(app_of(name)) not in hosts.has
        return True
