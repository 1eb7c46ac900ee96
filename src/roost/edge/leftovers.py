"""Ends the edge's processes that this configuration has no place for: the settings changed. Owns no state."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from roost.edge.front_plan import front_files
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.process import read_pid, terminate
from roost.model.cloud import Cloud

FRONTS = ("front", POSTGRES)


def pid_files(cloud: Cloud) -> list[Path]:
    """Return the pid files of all the edge's processes that a cloud has or had."""
    base = cloud.run / "edge"
    fronts = [front_files(cloud, name).pid for name in FRONTS]
    return [*fronts, base / "envoy.pid", *sorted(base.glob("cells/*/envoy.pid"))]


async def end_others(cloud: Cloud, cells: set[Path], *, fronts: set[str]) -> None:
    """End cells whose pid file is not among `cells`, and fronts that are not among `fronts`."""
    kept = cells | {front_files(cloud, name).pid for name in fronts}
    others = [path for path in pid_files(cloud) if path not in kept and path.exists()]
    await asyncio.gather(*(terminate(pid) for path in others if (pid := read_pid(path))))
    for path in others:
        path.unlink(missing_ok=True)
        if path.parent.parent.name == "cells" or path.parent.name in FRONTS:
            shutil.rmtree(path.parent, ignore_errors=True)
