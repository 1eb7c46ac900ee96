"""`hard_limit` for requests that pass through roostd: so many at once on a machine, the others wait in line.

State: which requests of the activators are on a machine, who of an app waits for one, and where its route leads, all of
it in memory. One instance serves all cells, since an app that sleeps may be called through any of them. Invariant: each
request that entered leaves once; one that gives up while it waits, or is cancelled, takes no place; nobody waits while
a machine that is known has room. Envoy counts for itself (admission.py): it is told to let in as many fewer as `held`
says, so that a machine that was just woken gets no more from both together.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable

from roost.edge.contract import Endpoint

_Turn = asyncio.Future[Endpoint]


class Slots:
    """All methods are for one event loop. `freed` is told when an app has no request here any more."""

    def __init__(self, freed: Callable[[str], None] = lambda _app: None) -> None:
        self._freed = freed
        self._active: Counter[Endpoint] = Counter()
        self._lines: dict[str, deque[_Turn]] = {}
        self._routed: dict[str, tuple[Endpoint, ...]] = {}  # of apps with requests here
        self._held: Counter[str] = Counter()

    def held(self, app: str) -> int:
        """Return how many requests of an app are on its machines or wait for them."""
        return self._held[app]

    async def enter(self, app: str, endpoint: Endpoint, limit: int, wait: float) -> Endpoint | None:
        """Take a place of `limit` on a machine, this or another of the app's, in turn; None: none in `wait` seconds."""
        self._held[app] += 1
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(app, deque()).append(turn)
        self._let_in(app, (endpoint, *self._routed.get(app, ())), limit)
        try:
            async with asyncio.timeout(wait):
                return await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                return turn.result()  # in the last moment
            self._give_up(app, turn)
            return None
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave(app, turn.result())
            else:
                self._give_up(app, turn)
            raise

    def leave(self, app: str, endpoint: Endpoint) -> None:
        """Give a place back: the first in line has it now."""
        if (turn := self._next(app)) is not None:
            turn.set_result(endpoint)
        else:
            self._active[endpoint] -= 1
            if not self._active[endpoint]:
                del self._active[endpoint]
        self._gone(app)

    def routed(self, app: str, endpoints: Iterable[Endpoint], limit: int) -> None:
        """Learn where the app's route leads: who waits goes to whichever machine has room."""
        if app in self._held:
            self._routed[app] = tuple(endpoints)
            self._let_in(app, self._routed[app], limit)

    def _let_in(self, app: str, endpoints: Iterable[Endpoint], limit: int) -> None:
        for endpoint in endpoints:
            while self._active[endpoint] < limit and (turn := self._next(app)) is not None:
                self._active[endpoint] += 1
                turn.set_result(endpoint)

    def _next(self, app: str) -> _Turn | None:
        """Take the first out of the app's line who still waits."""
        line = self._lines.get(app, deque())
        while line:
            if not (turn := line.popleft()).done():
                return turn
        return None

    def _give_up(self, app: str, turn: _Turn) -> None:
        if turn in (line := self._lines.get(app, deque())):
            line.remove(turn)
        self._gone(app)

    def _gone(self, app: str) -> None:
        if not self._lines.get(app):
            self._lines.pop(app, None)
        self._held[app] -= 1
        if not self._held[app]:
            del self._held[app]
            self._routed.pop(app, None)
            self._freed(app)
