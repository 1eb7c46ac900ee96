"""Logs of an app: those of its machines, merged by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from roost.control.contract import LogEntry
from roost.control.core import Core
from roost.host.contract import LogLine

POLL = 0.3  # seconds between two looks for new lines
MACHINES = 50  # an app's latest machines whose logs are shown
CHUNK = 500


class Logs:
    """Reads and follows."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def follow(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[LogEntry]:
        """Yield log lines, oldest first: the last `limit` since `since`, then, with `follow`, new ones.

        It ends with the app: a later one of its name may be another's.
        """
        followed = self._core.store.apps.get(app)
        offsets: dict[tuple[str, str], int] = {}
        lines: list[LogLine] = []
        for source in await asyncio.to_thread(self._sources, app, machine):
            tail = await asyncio.to_thread(self._read, source, since, -1, limit)
            lines += tail
            offsets[source] = tail[-1].offset if tail else 0
        lines.sort(key=lambda line: line.at)
        for line in lines[-limit:] if limit else []:
            yield _entry(line)
        while follow:
            await asyncio.sleep(POLL)
            fresh: list[LogLine] = []
            for source in await asyncio.to_thread(self._sources, app, machine):
                new = await asyncio.to_thread(self._read, source, since, offsets.get(source, 0), CHUNK)
                if new:
                    offsets[source] = new[-1].offset
                    fresh += new
            if await asyncio.to_thread(self._core.is_gone, followed):
                return
            for line in sorted(fresh, key=lambda line: line.at):
                yield _entry(line)

    def _read(self, source: tuple[str, str], since: float, offset: int, limit: int) -> list[LogLine]:
        machine_id, container = source
        return self._core.host.logs(machine_id, since=since, offset=offset, limit=limit, container=container)

    def _sources(self, app: str, machine: str) -> list[tuple[str, str]]:
        """Return the logs of the app's machines: (machine, container)."""
        of_app = self._core.store.events.machines_of(app, MACHINES)
        host = self._core.host
        return [(m, c) for m in of_app if not machine or m == machine for c in host.logged_containers(m)]


def _entry(line: LogLine) -> LogEntry:
    return LogEntry(line.at, line.machine_id, line.stream, line.text, "app", line.container)
