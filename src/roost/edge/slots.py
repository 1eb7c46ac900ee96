"""`hard_limit` for requests that pass through roostd: so many at once on a machine, the others wait in line.

State: which requests of the activators are on a machine or wait for it, all of it in memory. One instance serves all
cells, since an app that sleeps may be called through any of them. Invariant: each request that entered leaves once;
one that gives up while it waits, or is cancelled, takes no place. Envoy counts for itself (admission.py): it is told
to let in as many fewer as `held` says, so that a machine that was just woken gets no more from both together.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from roost.edge.contract import Endpoint


class Slots:
    """All methods are for one event loop. `freed` is told when an app has no request here any more."""

    def __init__(self, freed: Callable[[str], None] = lambda _app: None) -> None:
        self._freed = freed
        self._active: Counter[Endpoint] = Counter()
        self._lines: dict[Endpoint, deque[asyncio.Future[None]]] = {}
        self._held: Counter[str] = Counter()

    def held(self, app: str) -> int:
        """Return how many requests of an app are on its machines or wait for them."""
        return self._held[app]

    async def enter(self, app: str, endpoint: Endpoint, limit: int, wait: float) -> bool:
        """Take a place of `limit` on a machine, in turn; False after `wait` seconds without one."""
        self._held[app] += 1
        line = self._lines.setdefault(endpoint, deque())
        if self._active[endpoint] < limit and not line:
            self._active[endpoint] += 1
            return True
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(wait):
                await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                return True  # in the last moment
            self._give_up(app, endpoint, turn)
            return False
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave(app, endpoint)
            else:
                self._give_up(app, endpoint, turn)
            raise
        return True

    def leave(self, app: str, endpoint: Endpoint) -> None:
        """Give a place back: the first in line has it now."""
        line = self._lines[endpoint]
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        else:
            self._active[endpoint] -= 1
        self._gone(app, endpoint)

    def _give_up(self, app: str, endpoint: Endpoint, turn: asyncio.Future[None]) -> None:
        if turn in (line := self._lines.get(endpoint, deque())):
            line.remove(turn)
        self._gone(app, endpoint)

    def _gone(self, app: str, endpoint: Endpoint) -> None:
        if not self._active[endpoint] and not self._lines.get(endpoint):
            del self._active[endpoint]
            self._lines.pop(endpoint, None)
        self._held[app] -= 1
        if not self._held[app]:
            del self._held[app]
            self._freed(app)
