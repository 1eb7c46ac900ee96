"""The front of an edge with several cells: HAProxy leads each connection to a cell of its host's org.

It reads the first request's Host header, and no more: a connection stays where it was led. The map (host ->
cells) is changed through HAProxy's socket and written to a file with which it begins; a host that it lacks,
asleep or unknown, goes to a cell that the client's address chooses, whose activator knows what to do. So
the map may be late or lost, and requests are still answered right. If a command fails, the whole map is set
again later. A cell that is dead or answers no checks gets no connection: the org's second cell does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from roost.edge.confinement import confined, hand_over
from roost.edge.front_plan import Design, shard_key
from roost.edge.process import Keeper, Limit, Spawn, alive
from roost.edge.unit import Question, Unit
from roost.edge.written import is_written, write
from roost.model.cloud import Cloud
from roost.model.errors import HostFailure

COMMAND_TIMEOUT = 2.0
SAVE_PAUSE = 0.5  # seconds between two writings of the map's file
_CHUNK = 8_000  # bytes of one command; HAProxy takes 16384
_NEW_VERSION = re.compile(r"New version created: (\d+)")
_log = logging.getLogger("roost.edge")


class Front:
    """The front's process and its map. All calls are on one event loop."""

    def __init__(self, cloud: Cloud, design: Design, spawn: Spawn, limit: Limit) -> None:
        self._design, self._files = design, design.files
        self._wanted: dict[str, str] = {}
        self._behind = False  # the running front's map is not what is wanted
        self._unsaved = False  # the map's file is out of date, since the disk did not take it
        self._lock = asyncio.Lock()
        self._saver: asyncio.Task[None] | None = None
        info = Question("show info\n", f"node: {design.node}")
        unit = Unit(
            name=design.name,
            argv=(),
            pid_file=self._files.pid,
            log=cloud.logs / f"{design.name}.log",
            probe=self._files.commands,
            identity=info,
            pulse=info,
            ports=design.ports,
            stale=(self._files.commands,),
            goes_on=True,
        )
        self.keeper = Keeper(unit, spawn, self._began, limit)

    @property
    def pid(self) -> int:
        """The front's pid, 0 when it does not run."""
        pid = self.keeper.pid
        return pid if pid and alive(pid) else 0

    @property
    def has_run(self) -> bool:
        """Whether a front of an earlier roostd may be there."""
        return self._files.pid.exists()

    async def start(self) -> None:
        """Start the front or adopt the one that runs. Raises Conflict when the port is taken, HostFailure."""
        binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
        if not Path(binary).exists():
            raise HostFailure(f"the edge's {self._design.name} needs haproxy", hint="scripts/setup installs it")
        self._files.directory.mkdir(parents=True, exist_ok=True)
        self._files.directory.chmod(0o711)
        self._files.private.mkdir(exist_ok=True)
        hand_over(self._files.private, self._design.user)
        if not all(is_written(path, text) for path, text in self._design.contents.items()):
            await self.keeper.end()  # one that runs has other cells or another port
            for path, text in self._design.contents.items():
                write(path, text)
        if not self._files.map.exists():
            self._save()
        started = (binary, "-db", "-f", str(self._files.configuration))
        argv = confined(started, reads=(Path(binary), *self._design.contents), user=self._design.user)
        self.keeper.unit = replace(self.keeper.unit, argv=argv)
        self._wanted = _read_map(self._files.map)
        await self.keeper.ensure()

    async def stop(self, *, front_too: bool) -> None:
        """Stop looking after it; end it only when asked."""
        if self._saver is not None:
            self._saver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saver
            self._saver = None
            self._save()
        await (self.keeper.end() if front_too else self.keeper.release())

    async def lead(self, hosts: Iterable[str], cells: Sequence[str]) -> None:
        """Lead new connections of these hosts to an org's cells."""
        commands = []
        for host in hosts:
            verb = "set" if host in self._wanted else "add"
            if self._wanted.get(host) != shard_key(cells):
                self._wanted[host] = shard_key(cells)
                commands.append(f"{verb} map {self._files.map} {host} {shard_key(cells)}")
        await self._change(commands)

    async def forget(self, hosts: Iterable[str]) -> None:
        """Take hosts out: they sleep or are gone."""
        gone = [host for host in hosts if self._wanted.pop(host, None) is not None]
        await self._change([f"del map {self._files.map} {host}" for host in gone])

    async def lead_all(self, shards: Mapping[str, Sequence[str]]) -> None:
        """Set the whole map."""
        self._wanted = {host: shard_key(cells) for host, cells in shards.items()}
        self._behind = True
        await self.repair()

    async def follow(self, wanted: Mapping[str, str]) -> None:
        """Bring the map to what is wanted, by the names of the map's values; tells the differences."""
        await self.forget([host for host in self._wanted if host not in wanted])
        for host, key in wanted.items():
            await self.lead([host], [key])

    async def repair(self) -> None:
        """Set the whole map again if a command failed, or a new front began with an old one."""
        if self._unsaved:
            self._save_soon()
        if not self._behind or not self.pid:
            return
        async with self._lock:
            self._behind = False
            try:
                await self._set_all()
            except HostFailure as error:
                self._behind = True
                _log.warning("the front's map is not up to date: %s", error)
        self._save_soon()

    def detail(self) -> dict[str, object]:
        """Return how the front is, for the status."""
        found: dict[str, object] = {"pid": self.pid, "hosts": len(self._wanted), "restarts": self.keeper.restarts}
        if self.keeper.ended:
            found["ended"] = self.keeper.ended
        if self.keeper.trouble:
            found["trouble"] = self.keeper.trouble
        return found

    async def _change(self, commands: Sequence[str]) -> None:
        if not commands:
            return
        async with self._lock:
            for command in commands:
                try:
                    answer = await self._say(f"{command}\n")
                except HostFailure:
                    answer = "no answer"
                if answer.strip():
                    self._behind = True
        self._save_soon()

    async def _set_all(self) -> None:
        """Make a second version of the map and put it in the first one's place at once."""
        where = self._files.map
        found = _NEW_VERSION.search(await self._say(f"prepare map {where}\n"))
        if found is None:
            raise HostFailure("the front did not begin a new map")
        version = found[1]
        chunk: list[str] = []
        size = 0
        for host, key in (*self._wanted.items(), ("", "")):
            line = f"{host} {key}\n"
            if chunk and (size + len(line) > _CHUNK or not host):
                await self._say(f"add map @{version} {where} <<\n{''.join(chunk)}\n")
                chunk, size = [], 0
            if host:
                chunk.append(line)
                size += len(line)
        await self._say(f"commit map @{version} {where}\n")

    async def _say(self, command: str) -> str:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(self._files.commands)
                try:
                    writer.write(command.encode())
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise HostFailure(f"the front does not answer: {type(error).__name__}") from None

    def _began(self) -> None:
        self._save()
        self._behind |= self._unsaved

    def _save_soon(self) -> None:
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save_later())

    async def _save_later(self) -> None:
        await asyncio.sleep(SAVE_PAUSE)
        self._save()

    def _save(self) -> None:
        """Write the map with which a front begins. Where that fails it begins with an older one, and is told more."""
        try:
            write(self._files.map, "".join(f"{host} {key}\n" for host, key in self._wanted.items()))
            self._unsaved = False
        except OSError as error:
            if not self._unsaved:
                _log.warning("the front's map can't be written: %s", error.strerror)
            self._unsaved = True


def _read_map(path: Path) -> dict[str, str]:
    pairs = (line.split(" ") for line in path.read_text().splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
