"""Source directories: received as archives, unpacked safely, looked at by detection."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from roost.build.detect import DirectoryTree, SourceTree, detect
from roost.build.sources import SourceStore
from roost.control.contract import SourceInfo
from roost.model.app_config import AppConfig
from roost.model.app_config_read import propose_app_config, write_app_config
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput

MAX_ARCHIVE = 2 * 1024**3  # bytes of a compressed source directory


class Sources:
    """The verbs on sources."""

    def __init__(self, store: SourceStore, spool: Path) -> None:
        self._store = store
        self._spool = spool

    async def receive(self, stream: AsyncIterator[bytes]) -> SourceInfo:
        """Unpack a gzipped tar; leaves nothing behind when `stream` raises. Raises BadInput for an unsafe archive."""
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._spool) as file:
            size = 0
            async for chunk in stream:
                size += len(chunk)
                if size > MAX_ARCHIVE:
                    raise BadInput(
                        f"the source directory is larger than {MAX_ARCHIVE >> 30} GB, compressed",
                        hint="leave out what the build does not need: list it in .roostignore",
                    )
                await asyncio.to_thread(file.write, chunk)
            file.seek(0)
            source = await asyncio.to_thread(self._store.receive, file)
        return SourceInfo(source.id, source.bytes, source.files)

    def path(self, source_id: str) -> Path:
        """Return the directory of a received source; raises NotFound."""
        return self._store.get(source_id).path

    def tree(self, source_id: str) -> SourceTree:
        """Return a received source as detection reads it; raises NotFound."""
        return DirectoryTree(self.path(source_id))

    def plan(self, source_id: str, config: AppConfig | None, name: str) -> tuple[BuildPlan, AppConfig, str]:
        """Detect what the source is: the plan, the configuration with its gaps filled, and that as TOML."""
        plan = detect(self.tree(source_id), config)
        filled = propose_app_config(plan, name=name, given=config)
        return plan, filled, write_app_config(filled, plan)
