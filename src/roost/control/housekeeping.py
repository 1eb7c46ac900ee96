"""What must be done again and again: bounded logs, intact rules, no garbage. Each round is harmless when repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from roost.control.audit import Audit
from roost.control.core import Core, log
from roost.control.images import Images
from roost.control.ip_assignments import IpAssignments
from roost.control.public_ports import release_ports
from roost.control.requests import Requests
from roost.control.rounds import repeat
from roost.control.tokens import KEPT as TOKENS_KEPT
from roost.control.volumes import Volumes
from roost.model.replay import REPLAY_LIFETIME

HOST_ROUND = 3.0  # seconds: a log grows by no more than a disk can write in this time
CLEANING = 600.0  # seconds between two rounds of removing what nothing uses
LOG_KEPT = 7 * 86_400.0  # seconds that the log of a destroyed machine can be read, and it is remembered


class Housekeeping:
    """The rounds, for ever."""

    def __init__(
        self,
        core: Core,
        images: Images,
        volumes: Volumes,
        audit: Audit,
        addresses: IpAssignments,
        requests: Requests,
        sync: Callable[[str], Awaitable[None]],
    ) -> None:
        """`sync` tells the edge what an app serves now."""
        self._sync = sync
        self._addresses = addresses
        self._requests = requests
        self._audit = audit
        self._core = core
        self._volumes = volumes
        self._images = images

    async def look_after_host(self) -> None:
        """Keep logs bounded and the network's rules in place."""
        await repeat(self._maintain, "looking after the host", every=HOST_ROUND)

    async def _maintain(self) -> None:
        await asyncio.to_thread(self._core.host.maintain)
        for app in await asyncio.to_thread(release_ports, self._core):
            await self._sync(app)
        await asyncio.to_thread(self._addresses.resume)  # their ports follow from the machines' services

    async def clean(self) -> None:
        """Remove images, answers and logs that nothing needs any more; take daily snapshots."""
        await repeat(lambda: asyncio.to_thread(self.clean_once), "cleaning", every=CLEANING)

    def clean_once(self) -> None:
        """One round of cleaning."""
        self._core.store.events.trim()
        self._core.store.runs.trim()
        self._core.store.replays.forget_before(self._core.now() - REPLAY_LIFETIME)
        self._core.store.tokens.forget_before(self._core.now() - TOKENS_KEPT)
        self._audit.trim(self._core.now())
        freed = self._images.collect()
        for destroyed in (self._core.store.destroyed_machines, self._core.store.destroyed_volumes):
            destroyed.forget(self._core.now() - LOG_KEPT)
        gone = self._core.store.events.forget_gone(self._core.now() - LOG_KEPT)
        for machine_id in gone:
            self._core.host.forget_log(machine_id)
        self._volumes.look_after()
        self._requests.clean()
        if freed or gone:
            log.info("cleaned", freed_bytes=freed, logs=len(gone))
