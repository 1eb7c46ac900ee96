"""What the verbs of control share: the parts they act on, a lock per machine, and news of changes.

State owned: the locks and the watches, both in memory only. Whoever changes a machine or an operation
holds its lock meanwhile, writes the store, then gives notice; whoever waits re-reads the store on notice.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from roost.build.contract import Builder, ImageStore
from roost.control.sealing import Vault
from roost.edge.contract import Edge
from roost.host.contract import Host
from roost.model.acme import AcmeSettings
from roost.model.app import App
from roost.model.certificate import WILDCARD
from roost.model.cloud import Cloud
from roost.model.names import machine_id, ulid
from roost.plan.public_ports import PortRules
from roost.store.store import Store

T = TypeVar("T")
log = structlog.get_logger("roost.control")


class Locks:
    """One lock per key, made on demand and dropped when nobody holds or awaits it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold the key's lock."""
        with self._guard:
            lock, users = self._locks.get(key, (None, 0))
            lock = lock or threading.RLock()
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)


class Changes:
    """News by topic, from any thread to waiters on the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watches: dict[str, set[asyncio.Event]] = defaultdict(set)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop the waiters are on."""
        self._loop = loop

    def notify(self, topic: str) -> None:
        """Wake those who watch `topic`."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, topic)

    def _wake(self, topic: str) -> None:
        for event in self._watches.get(topic, ()):
            event.set()

    @contextmanager
    def watching(self, topic: str) -> Iterator[Callable[[float], Coroutine[Any, Any, None]]]:
        """Give a function that waits for news since its last call, at most so many seconds."""
        event = asyncio.Event()
        self._watches[topic].add(event)

        async def news(timeout: float) -> None:
            try:
                await asyncio.wait_for(event.wait(), timeout)
            except TimeoutError:
                return
            event.clear()

        try:
            yield news
        finally:
            self._watches[topic].discard(event)
            if not self._watches[topic]:
                del self._watches[topic]


def _no_fault(_point: str) -> None:
    return


@dataclass
class Core:
    """The parts of one control plane. `fault` is called between steps; chaos tests let it kill the process."""

    cloud: Cloud
    store: Store
    host: Host
    edge: Edge
    images: ImageStore
    builder: Builder
    vault: Vault
    region: str = "local"
    public_ipv4: str = ""  # under which the edge is reached from outside; "": not known
    issuer: str = ""  # of machines' identity tokens; "": the API's own address
    port_rules: PortRules = field(
        default_factory=lambda: PortRules(80, 443)
    )  # which ports apps may have for themselves
    acme: AcmeSettings = field(default_factory=AcmeSettings)  # how certificates are issued
    memory_kept_free: int = 0  # bytes of the host's memory that suspended machines leave free; 0: the plan's reserve
    metrics_period: float = 15.0  # seconds between two looks at the metrics of machines
    fault: Callable[[str], None] = _no_fault
    locks: Locks = field(default_factory=Locks)
    changes: Changes = field(default_factory=Changes)
    _loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which event loop the edge lives on."""
        self._loop = loop
        self.changes.bind(loop)

    def on_loop(self, work: Coroutine[Any, Any, T], timeout: float = 60.0) -> T:
        """Run a coroutine on the event loop from another thread and return its result."""
        return self.begin_on_loop(work).result(timeout)

    def begin_on_loop(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine on the event loop from another thread."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the event loop is not bound")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def app_url(self, app: str) -> str:
        """Return where an app answers: by https once its name has a certificate that browsers trust."""
        names = (
            [self.cloud.app_host(app), f"{WILDCARD}{self.cloud.domain}"] if self.acme.own_domain is not False else []
        )
        found = self.store.domain_certificates.serving(names)
        public = any(each.issued is not None and each.issued.expires_at > self.now() for each in found)
        return (self.cloud.app_https_url(app) if public else "") or self.cloud.app_url(app)

    def is_gone(self, app: App) -> bool:
        """Tell whether an app is no more, also when another has its name by now."""
        found = self.store.apps.find(app.name)
        return found is None or found.id != app.id

    @staticmethod
    def now() -> float:
        """Return the Unix time."""
        return time.time()

    @staticmethod
    def new_ulid() -> str:
        """Return a fresh ULID."""
        return ulid(time.time_ns() // 1_000_000, os.urandom(10))

    @staticmethod
    def new_machine_id() -> str:
        """Return a fresh machine id."""
        return machine_id(os.urandom(7))
