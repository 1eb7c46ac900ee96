"""Blocking calls that may take long (starting, stopping, running a command), in threads of their own.

State: one limiter per API. The invariant: however many of them wait for machines, the threads that
answer quick calls are never taken, and the number of callers that queue is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from roost.api.limits import Limits
from roost.model.errors import InsufficientCapacity

_T = TypeVar("_T")


class LongCalls:
    """Runs blocking calls in threads, so many at once and so many in the queue."""

    def __init__(self, limits: Limits) -> None:
        self._limiter = anyio.CapacityLimiter(limits.long_calls)
        self._longest_queue = limits.long_calls_waiting

    async def run(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns; raises InsufficientCapacity when too many wait already."""
        if self._limiter.statistics().tasks_waiting >= self._longest_queue:
            raise InsufficientCapacity(
                "too many calls wait for machines of this cloud", hint="try again in a few seconds"
            )
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


def _long_calls(connection: HTTPConnection) -> LongCalls:
    found: LongCalls = connection.app.state.long_calls
    return found


TheLongCalls = Annotated[LongCalls, Depends(_long_calls)]
