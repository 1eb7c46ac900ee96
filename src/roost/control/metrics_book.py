"""What the programs of machines say of themselves: each started machine with `metrics` is asked on a period.

State owned, in memory only: the latest answer of each such machine; a machine that no longer runs has none. After a
restart of roostd the book fills within one period. A machine that sleeps is not asked, so it is not woken. Bounds:
`MAX_AT_ONCE` questions, `TIMEOUT` seconds and `MAX_BODY` bytes for each; answers are parsed one at a time, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Protocol

from roost.control.core import Core, log
from roost.host.scrape import ScrapeFailed, fetch
from roost.model.machine import Machine, MachineState
from roost.plan.metrics import BadMetrics, Family, Scrape, aggregated, parse_metrics, render

MAX_AT_ONCE = 16
TIMEOUT = 5.0
MAX_BODY = 512 << 10
FRESH_PERIODS = 3  # how many periods an answer counts
NO_LABELS: Mapping[str, str] = MappingProxyType({})


class AppMetrics(Protocol):
    """What an autoscaler asks."""

    def aggregate(
        self, app: str, metric: str, how: str, *, group: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> float | None:
        """Return the sum, avg, max or min of a metric over an app's machines (of a process group, if one is named).

        A machine counts with the sum of its series that have these labels. None when no machine tells of it.
        """


class MetricsBook:
    """Asks, and remembers. Implements `AppMetrics`."""

    def __init__(self, core: Core, *, period: float) -> None:
        self._core = core
        self._period = period
        self._latest: dict[str, dict[str, Scrape]] = {}  # app -> machine -> what it said
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def run(self) -> None:
        """Ask for ever."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.look()
            except Exception:
                log.exception("reading metrics failed")
            await asyncio.sleep(max(0.1, self._period - (loop.time() - began)))

    def close(self) -> None:
        """Parse nothing more."""
        self._parser.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> None:
        """Ask every machine once."""
        running = await asyncio.to_thread(self._core.store.machines.in_states, MachineState.STARTED)
        asked = [machine for machine in running if machine.config.metrics is not None]
        self._forget_others(asked)
        gate = asyncio.Semaphore(MAX_AT_ONCE)

        async def one(machine: Machine) -> None:
            async with gate:
                scrape = await self._ask(machine)
            self._latest.setdefault(machine.app, {})[machine.id] = scrape

        await asyncio.gather(*(one(machine) for machine in asked))

    async def _ask(self, machine: Machine) -> Scrape:
        families: tuple[Family, ...] = ()
        error = ""
        assert machine.config.metrics is not None
        try:
            timeout = min(TIMEOUT, self._period)
            body = await fetch(machine.config.metrics, machine.private_ipv4, timeout=timeout, limit=MAX_BODY)
            families = await asyncio.get_running_loop().run_in_executor(self._parser, parse_metrics, body)
        except (ScrapeFailed, BadMetrics) as failure:
            error = str(failure)
        return Scrape(machine.id, machine.region, machine.process_group, self._core.now(), families, error)

    def _forget_others(self, asked: Iterable[Machine]) -> None:
        kept: dict[str, set[str]] = {}
        for machine in asked:
            kept.setdefault(machine.app, set()).add(machine.id)
        for app, latest in list(self._latest.items()):
            self._latest[app] = {key: scrape for key, scrape in latest.items() if key in kept.get(app, ())}
            if not self._latest[app]:
                del self._latest[app]

    def text(self, app: str) -> str:
        """Return the latest samples of an app's machines as Prometheus text; raises NotFound for no such app."""
        self._core.store.apps.get(app)
        own = {machine.id for machine in self._core.store.machines.list(app)}  # not those of an earlier app of the name
        latest = {key: scrape for key, scrape in dict(self._latest.get(app, {})).items() if key in own}
        return "".join(render(app, [latest[key] for key in sorted(latest)]))

    def aggregate(
        self, app: str, metric: str, how: str, *, group: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> float | None:
        """Return the sum, avg, max or min of a metric over an app's machines; None when none tells of it lately."""
        since = self._core.now() - FRESH_PERIODS * self._period
        latest = self._latest.get(app, {})
        return aggregated(latest.values(), metric, how, fresh_since=since, group=group, labels=labels)
