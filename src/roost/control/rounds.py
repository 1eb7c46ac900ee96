"""Work done again and again while roostd runs. No state; a round that fails is logged, and the next one comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from roost.control.core import log
from roost.plan.ticks import until_next


async def repeat(work: Callable[[], Awaitable[object]], what: str, *, every: float, rest: float = 0.0) -> NoReturn:
    """Do `work` for ever, each `every` seconds, and at least `rest` times as long after its last end as it took.

    Work that takes long begins `every` seconds after its end. `what` says in the log which work failed.
    """
    took = 0.0
    while True:
        await asyncio.sleep(max(until_next(every, time.monotonic()), min(every, took), rest * took))
        began = time.monotonic()
        try:
            await work()
        except Exception:
            log.exception(f"{what} failed")
        took = time.monotonic() - began
