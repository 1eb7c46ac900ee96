"""The files that a cloud's own processes write to do not grow without end.

State: the files in `HOME/log`, each with one older file beside it. Programs append to theirs, so a file that was copied
and cut goes on at its new end. What is written between copying and cutting is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

ROOSTD_LIMIT = 64 << 20  # bytes of roostd.log, which the supervisor bounds: it is there too when roostd is not
OTHERS_LIMIT = 16 << 20  # of Envoy's, HAProxy's and the others', which roostd bounds
PERIOD = 10.0  # how often sizes are looked at
NOT_OURS = "roostd.log"


def bound(path: Path, limit: int = ROOSTD_LIMIT) -> None:
    """Keep `path` and one older file `path`.1 below about `limit` bytes each."""
    try:
        if path.stat().st_size <= limit:
            return
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):  # on a full disk the older file is given up
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)


async def keep_bounded(directory: Path) -> None:
    """Bound the logs of all that roostd starts, for ever; roostd's own is the supervisor's matter."""
    while True:
        for path in directory.glob("*.log"):
            if path.name != NOT_OURS:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(bound, path, OTHERS_LIMIT)
        await asyncio.sleep(PERIOD)
